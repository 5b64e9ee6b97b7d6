"""Training spec: what is identical in all accounts of one provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Final, Literal, Self

from orchestrator.core.account import ProviderName

Auto = Literal["auto"]
Method = Literal["supervised", "dpo"]
TrainingType = Literal["Standard", "GlobalStandard", "Developer"]

# What every identity was made of from the beginning. A field that came later is part of it only where it is given:
# a changed identity would train, and pay for, everything once more.
ORIGINAL_IDENTITY_FIELDS: Final = frozenset(
    {"base_model", "method", "n_epochs", "batch_size", "learning_rate_multiplier", "seed", "suffix"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """Base model and hyperparameters; "auto" leaves a value to the provider.

    `seed` and `suffix` come from `[run]`; the rest from the provider's block. Which provider understands which
    field is said in `core.capabilities`; None leaves it to the provider.
    """

    base_model: str
    method: Method = "supervised"
    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    seed: int | None = None
    suffix: str | None = None
    learning_rate: float | None = None
    lora: bool | None = None
    lora_rank: int | None = None
    lora_alpha: int | None = None
    context_length: int | None = None
    training_type: TrainingType | None = None
    byte_order_mark: bool | None = None

    def __post_init__(self) -> None:
        if self.learning_rate_multiplier != "auto":  # 2 and 2.0 are one multiplier, and one identity
            object.__setattr__(self, "learning_rate_multiplier", float(self.learning_rate_multiplier))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the identity, the database and `/status`."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if name in ORIGINAL_IDENTITY_FIELDS or value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        return cls(**values)


def digest(*parts: object) -> str:
    """A stable identity of plain values: the first 16 hex digits of the SHA-256 of their canonical JSON."""
    return digest_text(canonical_json(*parts))


def canonical_json(*parts: object) -> str:
    """Plain values as the text that `digest_text` makes an identity of."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_text(text: str) -> str:
    """The identity of a canonical text."""
    return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The `[run]` table of the accounts file, as it is written there.

    `dataset` and `validation` are relative to the file; `validation` is a set of chats that are not trained with.
    `schedule` is a cron line whose weekdays are names, because schedulers do not agree on which day is 0. The money
    limits are in US dollars; None is no limit. `pin_auto` are the providers whose choices for the first job are given
    to the rest, from their own blocks.
    """

    name: str
    dataset: str = "chats"
    validation_fraction: float = 0.0
    validation: str | None = None
    seed: int = 42
    suffix: str | None = None
    max_total_usd: float | None = None
    allow_unknown_price: bool = False
    moderation: str | None = None
    moderation_waived: str | None = None
    schedule: str | None = None
    pin_auto: frozenset[ProviderName] = frozenset()
