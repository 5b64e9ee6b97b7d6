"""Loads the price list: prices with date and source, shipped or from the operator's own file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.plans.price import Price
from orchestrator.core.structs import Struct, field
from orchestrator.inputs.dated_table import DatedTable, find_row, read_rows

PRICE_TABLE: Final = DatedTable(
    row_name="price",
    title="price list",
    default_file="prices.toml",
    hint="Each [[price]] has provider, base_model, usd_per_million_tokens, as_of (a date) and source.",
    required={
        "provider": str,
        "base_model": str,
        "usd_per_million_tokens": int | float,
        "as_of": date,
        "source": str,
    },
    optional={
        "fixed": bool,
        "usd_per_million_input_tokens": int | float,
        "usd_per_million_output_tokens": int | float,
        "usd_per_hour": int | float,
    },
)


class PriceList(Struct, frozen=True):
    """Prices of training, and of calling the fine-tuned models, by provider and base model."""

    entries: Mapping[tuple[str, str], Price]  # by (provider, base model)
    inference: Mapping[tuple[str, str], InferencePrice] = field(default_factory=dict)

    def find(self, provider: str, base_model: str) -> Price | None:
        """Find the price of a base model, with or without its date; None if it is unknown, never a guess.

        Further training of a fine-tuned model (`ft:…`) has the price of its base model.
        """
        return find_row(self.entries, provider, base_model)

    def find_inference(self, provider: str, base_model: str) -> InferencePrice | None:
        """Find the price of calling a fine-tune of a base model by the token; None if it is unknown."""
        return find_row(self.inference, provider, base_model)


def load_prices(path: Path | None = None) -> PriceList:
    """Load the file at `path`, or the shipped file. Raises ConfigError with all problems of the file."""
    rows = {(row["provider"], row["base_model"]): row for row in read_rows(PRICE_TABLE, path)}
    inference = {key: _inference_price_from_row(row) for key, row in rows.items()}
    return PriceList(
        entries={key: _price_from_row(row) for key, row in rows.items()},
        inference={key: price for key, price in inference.items() if price is not None},
    )


def _inference_price_from_row(row: dict[str, Any]) -> InferencePrice | None:
    prices = [row.get(f"usd_per_million_{kind}_tokens") for kind in ("input", "output")]
    if prices[0] is None or prices[1] is None:
        return None
    return InferencePrice(
        usd_per_million_input_tokens=float(prices[0]),
        usd_per_million_output_tokens=float(prices[1]),
        usd_per_hour=float(row.get("usd_per_hour", 0.0)),
    )


def _price_from_row(row: dict[str, Any]) -> Price:
    usd = float(row["usd_per_million_tokens"])
    return Price(usd_per_million_tokens=usd, as_of=row["as_of"], source=row["source"], fixed=row.get("fixed", False))
