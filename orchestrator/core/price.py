"""Price: what training costs, as far as that is known. Unknown is None, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from orchestrator.core.spec import Auto


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a provider asks for training a base model, in USD per 1 million training tokens, and who said so when."""

    usd_per_million_tokens: float
    as_of: date
    source: str


def training_usd(tokens: int | None, n_epochs: int | Auto, price: Price | None) -> float | None:
    """The price of one job in USD: tokens of one epoch, times epochs, times price.

    None where the tokens or the price are not known, or where the provider chooses the epochs.
    """
    if tokens is None or price is None or n_epochs == "auto":
        return None
    return tokens * n_epochs * price.usd_per_million_tokens / 1_000_000
