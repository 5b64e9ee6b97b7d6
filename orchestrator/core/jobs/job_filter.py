"""The filter that selects jobs of a run, for lists and for operator actions."""

from __future__ import annotations

from typing import Self

from orchestrator.core.structs import Struct, replace


class JobFilter(Struct, frozen=True, kw_only=True):
    """Criteria that a job has to meet, all of them. Without any criterion it selects the whole run."""

    state: str = ""  # a JobState
    held: bool | None = None  # whether a hold stops the job
    provider: str = ""
    label: str = ""
    error: str = ""  # kind of the hold or error that is shown of the job
    text: str = ""  # case-insensitive, in everything that is shown of a job: names, labels, remote ids, the error
    accounts: tuple[str, ...] = ()  # account names; empty: all

    @property
    def is_narrowing(self) -> bool:
        """Whether any criterion is set."""
        return self != JobFilter()

    @property
    def without_state(self) -> Self:
        """A copy without the criteria `state` and `held`."""
        return replace(self, state="", held=None)
