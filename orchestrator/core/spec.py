"""Training specs: what is identical in all accounts of one provider, and the identities derived from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal, Self

from orchestrator.core.account import ProviderName
from orchestrator.core.structs import Struct, force_setattr

Auto = Literal["auto"]
Method = Literal["supervised", "dpo"]
TrainingType = Literal["Standard", "GlobalStandard", "Developer"]

# The fields that were part of every identity from the first release. A later field is hashed only if it has a value:
# otherwise the ids of all existing jobs would change, and everything would be trained, and paid for, a second time.
ORIGINAL_IDENTITY_FIELDS: Final = frozenset(
    {"base_model", "method", "n_epochs", "batch_size", "learning_rate_multiplier", "seed", "suffix"}
)


class TrainingSpec(Struct, frozen=True, kw_only=True):
    """Base model and hyperparameters of one provider's jobs.

    The field names and values are hashed into run and job ids: they stay, and a new field needs the default None.
    "auto" and None leave a value to the provider; core/capabilities.py lists which provider supports which field.
    """

    base_model: str
    method: Method = "supervised"
    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    seed: int | None = None  # from [run]
    suffix: str | None = None  # from [run]; part of the fine-tuned model's name
    learning_rate: float | None = None
    lora: bool | None = None
    lora_rank: int | None = None
    lora_alpha: int | None = None
    context_length: int | None = None
    training_type: TrainingType | None = None  # azure
    byte_order_mark: bool | None = None  # whether files are sent with one; the dataset's identity does not change

    def __post_init__(self) -> None:
        if self.learning_rate_multiplier != "auto":  # 2 and 2.0 are the same multiplier and must give the same id
            force_setattr(self, "learning_rate_multiplier", float(self.learning_rate_multiplier))

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for the identity, the database and `/status`."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in values if name in ORIGINAL_IDENTITY_FIELDS or value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a spec from the values of `as_dict`."""
        return cls(**values)


def digest(*parts: object) -> str:
    """Hash plain values to an identity: the first 16 hex digits of the SHA-256 of their canonical JSON."""
    return digest_text(canonical_json(*parts))


def canonical_json(*parts: object) -> str:
    """Encode plain values as JSON with sorted keys and without white space: equal values give equal text."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_text(text: str) -> str:
    """Hash a canonical text to 16 hex digits."""
    return sha256(text.encode()).hexdigest()[:16]


class RunOptions(Struct, frozen=True, kw_only=True):
    """The options of one run in the accounts file. The field names are its keys."""

    name: str  # of the run, for people
    dataset: str = "chats"  # path, relative to the accounts file
    validation_fraction: float = 0.0  # part of the examples that is held out, 0 to 1
    validation: str | None = None  # path of a separate set of chats for validation
    seed: int = 42
    suffix: str | None = None
    max_total_usd: float | None = None  # None: no limit
    allow_unknown_price: bool = False
    moderation: str | None = None  # account whose moderation API checks the chats
    moderation_waived: str | None = None  # reason why no moderation is needed
    schedule: str | None = None  # cron line; weekdays are names, because schedulers disagree on which day is 0
    priority: int = 0  # only in [[runs]]; the run with the higher priority gets a free job slot
    gate: bool = False  # from [run.comparison], see Run.gate
    pin_auto: frozenset[ProviderName] = frozenset()  # from the provider blocks, see Plan.pin_auto
