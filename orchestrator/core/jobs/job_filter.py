"""Selection: which of a run's jobs are meant, by whoever looks at them or asks something of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Every part that is given narrows; nothing given is the whole run.

    `held` is whether the job is set aside, `error` the kind of what keeps it from going on or ended it. `text` is
    looked for, whatever its case, in everything that is shown of a job: names, labels, remote ids, the error.
    """

    state: str = ""
    held: bool | None = None
    provider: str = ""
    label: str = ""
    error: str = ""
    text: str = ""
    accounts: tuple[str, ...] = ()

    @property
    def is_narrowing(self) -> bool:
        """Whether anything is left out."""
        return self != JobFilter()

    @property
    def without_state(self) -> Self:
        """The same without a state."""
        return replace(self, state="", held=None)
