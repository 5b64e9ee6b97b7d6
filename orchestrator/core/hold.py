"""Holds: why an account, a job or a run does not proceed, and what an operator can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Self

from orchestrator.core.errors import Failure, remove_unstorable
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct, asdict, replace


class HoldKind(StrEnum):
    """Kinds of holds that do not come from a provider's error; those have the error's kind. The values are stored."""

    OVER_BUDGET = "over_budget"
    PRICE_UNKNOWN = "price_unknown"
    RUN_TOO_EXPENSIVE = "run_too_dear"
    RETIRES_SOON = "retires_soon"
    FILE_TOO_LARGE = "file_too_large"
    NOT_TUNABLE = "not_tunable"
    MODEL_UNKNOWN = "model_unknown"
    NOT_SERVABLE = "not_servable"
    PRICE_REFUSED = "price_refused"
    NOT_MODERATED = "not_moderated"
    MODERATING = "moderating"
    SUPERSEDED = "superseded"
    KEY_MISSING = "key_missing"
    ACCOUNT_REMOVED = "account_removed"
    RENAMED = "renamed"
    NOT_SELECTED = "not_selected"
    BY_OPERATOR = "by_operator"


HOLD_DESCRIPTIONS: Final[Mapping[HoldKind, tuple[str, str]]] = {
    HoldKind.OVER_BUDGET: (
        "The job would raise the spending of its account above `budget_usd`.",
        "Raise `budget_usd`, or make the dataset smaller.",
    ),
    HoldKind.PRICE_UNKNOWN: (
        "The price of the run is unknown, and `allow_unknown_price` is not set.",
        "Set `allow_unknown_price = true`, add the price to a file of your own (`ORCHESTRATOR_PRICES_FILE`), or "
        "`orchestrator approve` the run.",
    ),
    HoldKind.RUN_TOO_EXPENSIVE: (
        "The run would cost more than `max_total_usd`.",
        "Raise `max_total_usd`, list fewer accounts, or `orchestrator approve` the run.",
    ),
    HoldKind.RETIRES_SOON: (
        "The models of the run could be called for fewer than 30 days.",
        "Choose another base model or provider, or `orchestrator approve` the run.",
    ),
    HoldKind.FILE_TOO_LARGE: (
        "The dataset's file is larger than the provider accepts.",
        "Make the dataset smaller, or choose another provider.",
    ),
    HoldKind.NOT_TUNABLE: (
        "The base model cannot be trained, or can no longer be trained.",
        "Choose another `base_model` or provider.",
    ),
    HoldKind.MODEL_UNKNOWN: (
        "The provider does not know the base model.",
        "Correct `base_model`; the message names the nearest known one.",
    ),
    HoldKind.NOT_SERVABLE: (
        "The run requests a deployment, and the provider cannot deploy models of this base model.",
        "Choose another `base_model`, or remove `[run.PROVIDER.deployment]`.",
    ),
    HoldKind.PRICE_REFUSED: (
        "The provider refuses to quote a price for the job.",
        "Add credit at the provider, or make the dataset smaller.",
    ),
    HoldKind.NOT_MODERATED: (
        "The chats were not moderated, or the moderation flagged one.",
        "Follow the hint, then `orchestrator release` an account to repeat the moderation, or `orchestrator "
        "waive` it.",
    ),
    HoldKind.MODERATING: ("The chats are being moderated.", "No action needed: the hold ends with the moderation."),
    HoldKind.SUPERSEDED: (
        "A newer run replaced this run before the job was submitted, or its model deployed.",
        "No action needed: it continues if the accounts file describes this run again. A deployment can be approved: "
        "`orchestrator deployments --approve`.",
    ),
    HoldKind.KEY_MISSING: (
        "The account's key cannot be read.",
        "Store the key in the place that `api_key` names; the service then releases the account. After a change of a "
        "variable, restart the service.",
    ),
    HoldKind.ACCOUNT_REMOVED: (
        "The account is no longer in the accounts file.",
        "To continue its jobs, add the account again with the same name.",
    ),
    HoldKind.RENAMED: (
        "The account has the key of an account with paid jobs that is no longer in the accounts file.",
        "Give the account its earlier name again, or `orchestrator release` it to train once more.",
    ),
    HoldKind.NOT_SELECTED: (
        "The run no longer selects the account.",
        "To continue the job, select the account in `accounts` of the run again.",
    ),
    HoldKind.BY_OPERATOR: ("An operator put the account on hold.", "`orchestrator release` the account."),
}
"""The meaning of each kind, and how the hold ends: a table of docs/reference/errors.md."""

UNTRAINABLE_HOLD_KINDS: Final = frozenset({HoldKind.NOT_TUNABLE, HoldKind.MODEL_UNKNOWN, HoldKind.NOT_SERVABLE})
"""Holds of a base model that is not trained: its price does not count towards the run's."""

SELF_RELEASING_HOLD_KINDS: Final = frozenset({HoldKind.MODERATING})
"""Holds that end without an operator: the service works on the cause."""

PLAN_HOLD_KINDS: Final = (
    frozenset({HoldKind.OVER_BUDGET, HoldKind.FILE_TOO_LARGE, HoldKind.PRICE_REFUSED, HoldKind.NOT_SELECTED})
    | UNTRAINABLE_HOLD_KINDS
)
"""Holds that a plan sets and only another plan lifts: the accounts file or the provider has to change."""


class Hold(Struct, frozen=True):
    """Why an account, a job or a run is on hold."""

    kind: str  # a HoldKind, or the kind of the error that caused it
    reason: str  # what is wrong, and where
    hint: str  # the operator's next step
    until: float | None = None  # epoch seconds at which it ends by itself; None: an operator or a new plan ends it

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self | None:
        """Build a hold from the values of `as_dict`; None stays None."""
        return cls(**values) if values else None

    def redacted(self, redact: Redactor) -> Hold:
        """Return a copy whose reason and hint hold no key and can be stored."""
        return replace(self, reason=remove_unstorable(redact(self.reason)), hint=remove_unstorable(redact(self.hint)))

    def is_active(self, now: float) -> bool:
        """Return whether the hold still applies at `now` (epoch seconds)."""
        return self.until is None or now < self.until

    @property
    def failure(self) -> Failure:
        """The hold in the form in which errors are shown."""
        return Failure(self.kind, self.reason, self.hint)


ACCOUNT_REMOVED_HOLD = Hold(
    HoldKind.ACCOUNT_REMOVED,
    "the account is no longer in the accounts file",
    "Add the account to the accounts file again, with the same name, to continue its jobs.",
)


def build_renamed_hold(name: str, before: str, jobs: int) -> Hold:
    """Build the hold of an account that seems to be one with another name, which has paid jobs."""
    counted = "a paid job" if jobs == 1 else f"{jobs} paid jobs"
    return Hold(
        HoldKind.RENAMED,
        f"the account has the key of account {before}, which is no longer in the accounts file and has {counted}: "
        "under another name the same work would be paid once more",
        f"Name the account {before} again, or run `orchestrator release {name}` to train in it once more.",
    )


NOT_SELECTED_HOLD = Hold(
    HoldKind.NOT_SELECTED,
    "the run no longer selects this account",
    "Select the account in `accounts` of the run again to continue the job.",
)
SUPERSEDED_HOLD = Hold(
    HoldKind.SUPERSEDED,
    "a newer run with another dataset or training spec replaced this run before the job was submitted",
    "No action needed: the job continues if the accounts file describes this run again.",
)
