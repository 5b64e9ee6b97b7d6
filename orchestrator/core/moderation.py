"""Moderation: the verdict about one text, and the record of a run's moderation."""

from __future__ import annotations

from collections.abc import Mapping
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
from orchestrator.core.structs import Struct, asdict, field
from orchestrator.core.text import format_timestamp

NOT_MODERATED_HINT: Final = (
    "Name an account with a moderation API as `moderation` of the run in the accounts file, or record why no "
    "moderation is needed: "
    '`orchestrator waive "REASON"`.'
)


class ModerationVerdict(Struct, frozen=True):
    """The result of the moderation of one text."""

    flagged: bool
    categories: tuple[str, ...] = ()  # the flagged ones
    scores: Mapping[str, float] = field(default_factory=dict)  # of every category, 0 to 1


class ModerationStatus(StrEnum):
    """The result of a run's moderation. A run continues only with the first two. The values are stored."""

    PASSED = "passed"
    WAIVED = "waived"
    MISSING = "not moderated"


class ModerationProgress(Struct, frozen=True, kw_only=True):
    """The progress of a moderation that is running or waits for its next attempt. Times are epoch seconds, UTC."""

    judged: int = 0  # moderated texts
    total: int = 0  # texts
    finish_at: float | None = None  # estimated end
    attempts: int = 0  # failed attempts in a row
    retry_at: float | None = None  # next attempt; None: an attempt is running
    replica: str = ""  # the replica that works on it; the others wait as long as it is alive


class Moderation(Struct, frozen=True, kw_only=True):
    """The moderation record of a run. It is stored with the run and shown in `/status`."""

    state: ModerationStatus
    by: str  # the account whose moderation API was used, or who waived the moderation
    at: float  # epoch seconds, UTC
    texts: int = 0  # number of moderated texts
    reason: str = ""  # why it was waived or is missing
    hint: str = ""  # what to do if it is missing
    progress: ModerationProgress | None = None  # the service works on it: no operator is needed

    @property
    def hold(self) -> Hold | None:
        """The hold of the run while the moderation is missing.

        It contains no progress: every job shows the hold, and would change with every moderated text.
        """
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
        """Convert to plain values for the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a record from the values of `as_dict`. Records of earlier versions have neither hint nor progress."""
        progress = values.get("progress")
        converted = {
            "state": ModerationStatus(values["state"]),
            "progress": progress and ModerationProgress(**progress),
        }
        return cls(**{**values, **converted})


def get_moderation_hint(error: ProviderError) -> str:
    """Return the hint for an error of the moderation API. An outage never lets a run continue without moderation."""
    match error:
        case TemporaryError():
            return error.hint
        case TrainingNotAllowed():
            return (
                "Allow this account's key to use the moderation endpoint, or name another account as `moderation` of "
                "the run in the accounts file; then `orchestrator release`."
            )
        case AccountError():
            return error.hint
        case RemoteNotFound():
            return (
                "This server has no moderation endpoint at that address. Correct the account's `base_url` and "
                "`orchestrator release`, or name an account whose server has one as `moderation` of the run."
            )
        case _:
            return (
                "Correct the cause that the message names, then `orchestrator release`: the moderation is requested "
                "again. Or name another account as `moderation` of the run."
            )
