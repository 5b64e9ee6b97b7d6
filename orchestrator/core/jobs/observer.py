"""Watch: is told of the work as it goes on, for whoever counts it."""

from __future__ import annotations

from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.transitions import Outcome


class ServiceObserver:
    """Counts nothing. Times are in seconds."""

    def call_finished(self, provider: ProviderName, operation: str, outcome: str, seconds: float) -> None:
        """A call to a provider has ended. The outcome is "ok" or the kind of its error."""

    def outcome_recorded(self, outcome: Outcome) -> None:
        """A job has changed."""

    def job_woken(self, job: Job, now: float) -> None:
        """A job that was due is looked at."""

    def tick_delayed(self, delay_seconds: float) -> None:
        """The scheduler has ticked, so late."""


NULL_OBSERVER: Final = ServiceObserver()
