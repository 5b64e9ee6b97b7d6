"""Price: what training costs, as far as that is known. Unknown is None, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from orchestrator.core.spec import Auto


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a provider asks for training a base model, in USD per 1 million training tokens, and who said so when.

    `fixed`: it cannot change, so its age says nothing.
    """

    usd_per_million_tokens: float
    as_of: date
    source: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """What a job is estimated to cost in USD, and who says so; None is unknown.

    `refused` is why the provider would not let the account pay it.
    """

    usd: float | None
    source: str = "unknown"
    refused: str | None = None


UNKNOWN: Final = Quote(None)


def by_price_file(tokens: int | None, n_epochs: int | Auto, price: Price | None) -> Quote:
    """What the price file says of a job."""
    usd = training_usd(tokens, n_epochs, price)
    return UNKNOWN if usd is None or price is None else Quote(usd, f"price file, {price.as_of}")


def training_usd(tokens: int | None, n_epochs: int | Auto, price: Price | None) -> float | None:
    """The price of one job in USD: tokens of one epoch, times epochs, times price.

    None where the tokens or the price are not known, or where the provider chooses the epochs.
    """
    if tokens is None or price is None or n_epochs == "auto":
        return None
    return tokens * n_epochs * price.usd_per_million_tokens / 1_000_000
