"""Training spec: what is identical in all accounts of one provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal, Self

Auto = Literal["auto"]
Method = Literal["supervised", "dpo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """Base model and hyperparameters; "auto" leaves a value to the provider.

    `seed` and `suffix` come from `[run]`; the rest from the provider's block.
    """

    base_model: str
    method: Method = "supervised"
    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    seed: int | None = None
    suffix: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the database and for `/status`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        return cls(**values)


def digest(*parts: object) -> str:
    """A stable identity of plain values: the first 16 hex digits of the SHA-256 of their canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:16]
