"""Watch: is told of the work as it goes on, for whoever counts it."""

from __future__ import annotations

from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.advance import Outcome
from orchestrator.core.job import Job


class Watch:
    """Counts nothing. Times are in seconds."""

    def called(self, provider: ProviderName, operation: str, outcome: str, seconds: float) -> None:
        """A call to a provider has ended. The outcome is "ok" or the kind of its error."""

    def recorded(self, outcome: Outcome) -> None:
        """A job has changed."""

    def woke(self, job: Job, now: float) -> None:
        """A job that was due is looked at."""

    def beat(self, late: float) -> None:
        """The scheduler has ticked, so late."""


NOBODY: Final = Watch()
