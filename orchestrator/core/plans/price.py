"""Prices of training jobs. An unknown price is None, never a guess."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Final

from orchestrator.core.spec import Auto
from orchestrator.core.structs import Struct


class Price(Struct, frozen=True, kw_only=True):
    """The price of training a base model at a provider."""

    usd_per_million_tokens: float  # training tokens
    as_of: date  # when the source stated it
    source: str
    fixed: bool = False  # it cannot change, so its age does not matter


class UnknownPriceReason(Enum):
    """Why the price file gives no price, and the remedy; it is empty if there is none."""

    NOT_LISTED = ("the prices file has no price for it", "Add its price to a prices file")
    AUTO_EPOCHS = ("the provider chooses n_epochs", "Give n_epochs as a number")
    NO_TOKENIZER = ("no tokenizer is known for it", "Name a tokenizer file as `tokenizer`")
    UNCOUNTABLE_CONTENT = ("the token count of pictures and tools is not published", "")
    DPO_NOT_LISTED = ("the prices file has no prices for dpo", "")

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy


class Quote(Struct, frozen=True):
    """The estimated price of one job."""

    usd: float | None  # None: unknown
    source: str = "unknown"  # where the price comes from, as text
    refused: str | None = None  # why the provider would not let the account pay it
    unknown_price_reasons: tuple[UnknownPriceReason, ...] = ()


UNKNOWN_QUOTE: Final = Quote(None)


def quote_from_price_file(
    tokens: int | None,
    n_epochs: int | Auto,
    price: Price | None,
    *,
    uncounted: UnknownPriceReason = UnknownPriceReason.UNCOUNTABLE_CONTENT,
) -> Quote:
    """Estimate a job's price by the price file. `uncounted` is the reason if `tokens`, of one epoch, is None."""
    usd = calculate_training_usd(tokens, n_epochs, price)
    if usd is not None and price is not None:
        return Quote(usd, f"price file, {price.as_of}")
    reasons = {
        uncounted: tokens is None,
        UnknownPriceReason.NOT_LISTED: price is None and uncounted is not UnknownPriceReason.DPO_NOT_LISTED,
        UnknownPriceReason.AUTO_EPOCHS: n_epochs == "auto",
    }
    return Quote(None, unknown_price_reasons=tuple(reason for reason, applies in reasons.items() if applies))


def calculate_training_usd(tokens: int | None, n_epochs: int | Auto, price: Price | None) -> float | None:
    """Calculate the price of one job in US dollars: tokens of one epoch, times epochs, times price.

    Returns None if the tokens or the price are unknown, or if the provider chooses the epochs.
    """
    if tokens is None or price is None or n_epochs == "auto":
        return None
    return tokens * n_epochs * price.usd_per_million_tokens / 1_000_000
