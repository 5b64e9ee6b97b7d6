"""The observer interface for instrumentation: metrics implement it (metrics/recorder.py)."""

from __future__ import annotations

from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.transitions import Outcome


class ServiceObserver:
    """Receives the events of the service. This base class ignores them. Times are in seconds."""

    def call_finished(self, provider: ProviderName, operation: str, outcome: str, seconds: float) -> None:
        """Handle the end of a call to a provider. `outcome` is "ok" or the kind of the error."""

    def outcome_recorded(self, outcome: Outcome) -> None:
        """Handle a recorded change of a job."""

    def job_woken(self, job: Job, now: float) -> None:
        """Handle the start of the processing of a due job; `now - job.wake_at` is its delay."""

    def tick_delayed(self, delay_seconds: float) -> None:
        """Handle a tick of the scheduler that came `delay_seconds` late."""


NULL_OBSERVER: Final = ServiceObserver()
