"""Hold: an account, job or run set aside with a reason and a hint, until a person or a time releases it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

from orchestrator.core.errors import Failure


class HoldKind(StrEnum):
    """Why something is set aside, where no error of a provider says it."""

    OVER_BUDGET = "over_budget"
    PRICE_UNKNOWN = "price_unknown"
    RUN_TOO_EXPENSIVE = "run_too_dear"
    RETIRES_SOON = "retires_soon"
    FILE_TOO_LARGE = "file_too_large"
    NOT_TUNABLE = "not_tunable"
    MODEL_UNKNOWN = "model_unknown"
    PRICE_REFUSED = "price_refused"
    NOT_MODERATED = "not_moderated"
    MODERATING = "moderating"
    SUPERSEDED = "superseded"
    KEY_MISSING = "key_missing"
    ACCOUNT_REMOVED = "account_removed"
    BY_OPERATOR = "by_operator"


UNTRAINABLE_HOLD_KINDS: Final = frozenset({HoldKind.NOT_TUNABLE, HoldKind.MODEL_UNKNOWN})
"""What a base model is held for that cannot be trained: its price is of no interest."""

SELF_RELEASING_HOLD_KINDS: Final = frozenset({HoldKind.MODERATING})
"""What ends without a person: the service works on it."""

PLAN_HOLD_KINDS: Final = (
    frozenset({HoldKind.OVER_BUDGET, HoldKind.FILE_TOO_LARGE, HoldKind.PRICE_REFUSED}) | UNTRAINABLE_HOLD_KINDS
)
"""What a plan holds a job for, and only another plan lifts: the accounts file or the provider has to change."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Set aside: `until` is the time (epoch seconds) that releases it, None when only a person does."""

    kind: str
    reason: str
    hint: str
    until: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self | None:
        """The inverse of `as_dict`; None stays None."""
        return cls(**values) if values else None

    def is_active(self, now: float) -> bool:
        """Whether it is still in force."""
        return self.until is None or now < self.until

    @property
    def failure(self) -> Failure:
        """The hold as an error to show."""
        return Failure(self.kind, self.reason, self.hint)


ACCOUNT_REMOVED_HOLD = Hold(
    HoldKind.ACCOUNT_REMOVED,
    "the account is no longer in the accounts file",
    "Put the account back, with the same name, to go on with its jobs.",
)
SUPERSEDED_HOLD = Hold(
    HoldKind.SUPERSEDED,
    "another dataset or training spec took the place of this run before this job was submitted",
    "Nothing to do: it goes on if the accounts file asks for this run again.",
)
