"""Moderation: what a provider's moderation said of a text, and what became of a run's moderation as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from orchestrator.core.errors import (
    AccountError,
    ProviderError,
    RemoteNotFound,
    TemporaryError,
    TrainingNotAllowed,
)
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.text import format_timestamp

NOT_MODERATED_HINT: Final = (
    "Name an account with a moderation API as `moderation` in [run], or record why no moderation is needed: "
    '`orchestrator waive "REASON"`.'
)


@dataclass(frozen=True, slots=True)
class ModerationVerdict:
    """What the moderation said of one text: the categories that are flagged, and every category's score."""

    flagged: bool
    categories: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


class ModerationStatus(StrEnum):
    """What became of it. Only the first two let a run go on."""

    PASSED = "passed"
    WAIVED = "waived"
    MISSING = "not moderated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationProgress:
    """How far a moderation is that needs no person: it is under way, or waits for its next attempt.

    `judged` of `total` texts are done, and `finish_at` is the estimated end (epoch seconds, UTC). `attempts` failed
    in a row; the next one is due at `retry_at`. `replica` is the one at work: another leaves it alone while it lives.
    """

    judged: int = 0
    total: int = 0
    finish_at: float | None = None
    attempts: int = 0
    retry_at: float | None = None
    replica: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """A run's moderation record: it stays with the run and is shown in `/status`.

    `by` is the account whose moderation was used, or who waived it; `reason` is why it was waived or is missing, and
    `hint` what to do about that. `at` is epoch seconds, UTC. With `progress` it is missing and needs no person.
    """

    state: ModerationStatus
    by: str
    at: float
    texts: int = 0
    reason: str = ""
    hint: str = ""
    progress: ModerationProgress | None = None

    @property
    def hold(self) -> Hold | None:
        """Missing moderation is never a pass. What changes with every text is left out: each job shows its hold."""
        if self.state is not ModerationStatus.MISSING:
            return None
        if self.progress is None:
            return Hold(
                HoldKind.NOT_MODERATED,
                f"the chats were not moderated: {self.reason}",
                self.hint or NOT_MODERATED_HINT,
            )
        if self.progress.retry_at is None:
            hint = "No action needed: the run continues automatically once the chats have passed."
            return Hold(HoldKind.MODERATING, "the chats are being moderated", hint)
        hint = f"{self.hint} The next attempt is at {format_timestamp(self.progress.retry_at)}.".lstrip()
        return Hold(HoldKind.MODERATING, f"the moderation has no result yet: {self.reason}", hint)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`. Records of earlier revisions have neither hint nor progress."""
        progress = values.get("progress")
        known = {"state": ModerationStatus(values["state"]), "progress": progress and ModerationProgress(**progress)}
        return cls(**{**values, **known})


def get_moderation_hint(error: ProviderError) -> str:
    """What to do when the moderation answers with this error. An outage is never a reason to do without it."""
    match error:
        case TemporaryError():
            return error.hint
        case TrainingNotAllowed():
            return (
                "Allow this account's key to use the moderation endpoint, or name another account as `moderation` in "
                "[run]; then `orchestrator release`."
            )
        case AccountError():
            return error.hint
        case RemoteNotFound():
            return (
                "This server has no moderation endpoint at that address. Correct the account's `base_url` and "
                "`orchestrator release`, or name an account whose server has one as `moderation` in [run]."
            )
        case _:
            return (
                "Correct the cause that the message names, then `orchestrator release`: the moderation is requested "
                "again. Or name another account as `moderation` in [run]."
            )
