"""Price: what training costs, as far as that is known. Unknown is None, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
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


class UnknownPriceReason(Enum):
    """Why the price file gives no price, and what to do about it; the remedy is empty where nobody can."""

    NOT_LISTED = ("the prices file has no price for it", "Put its price into a prices file")
    AUTO_EPOCHS = ("the provider chooses n_epochs", "Give n_epochs as a number")
    NO_TOKENIZER = ("no tokenizer is known for it", "Name a tokenizer file as `tokenizer`")
    UNCOUNTABLE_CONTENT = ("what pictures and tools cost in tokens is not published", "")
    DPO_NOT_LISTED = ("the prices file has no prices for dpo", "")

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Quote:
    """What a job is estimated to cost in USD, and who says so; None is unknown, for the reasons in `unpriced`.

    `refused` is why the provider would not let the account pay it.
    """

    usd: float | None
    source: str = "unknown"
    refused: str | None = None
    unknown_price_reasons: tuple[UnknownPriceReason, ...] = ()


UNKNOWN_QUOTE: Final = Quote(None)


def quote_from_price_file(
    tokens: int | None,
    n_epochs: int | Auto,
    price: Price | None,
    *,
    uncounted: UnknownPriceReason = UnknownPriceReason.UNCOUNTABLE_CONTENT,
) -> Quote:
    """What the price file says of a job. `uncounted` is why there is no number of tokens, where there is none."""
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
    """The price of one job in USD: tokens of one epoch, times epochs, times price.

    None where the tokens or the price are not known, or where the provider chooses the epochs.
    """
    if tokens is None or price is None or n_epochs == "auto":
        return None
    return tokens * n_epochs * price.usd_per_million_tokens / 1_000_000
