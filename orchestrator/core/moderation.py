"""Moderation: what a provider's moderation said of a text, and what became of a run's moderation as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.hold import Hold, HoldKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the moderation said of one text: the categories that are flagged, and every category's score."""

    flagged: bool
    categories: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


class Moderated(StrEnum):
    """What became of it. Only the first two let a run go on."""

    PASSED = "passed"
    WAIVED = "waived"
    MISSING = "not moderated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """A run's moderation record: it stays with the run and is shown in `/status`.

    `by` is the account whose moderation was used, or who waived it; `reason` is why it was waived or is missing.
    `at` is epoch seconds, UTC.
    """

    state: Moderated
    by: str
    at: float
    texts: int = 0
    reason: str = ""

    @property
    def hold(self) -> Hold | None:
        """Missing moderation is never a pass."""
        if self.state is not Moderated.MISSING:
            return None
        return Hold(
            HoldKind.NOT_MODERATED,
            f"the chats were not moderated: {self.reason}",
            "Name an account with a moderation API as `moderation` in [run], or record why none is needed: "
            '`orchestrator waive "REASON"`.',
        )
