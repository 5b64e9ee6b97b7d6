"""Loads the price list: training prices with date and source, shipped or from the operator's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from orchestrator.core.plans.price import Price
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
    optional={"fixed": bool},
)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Training prices by provider and base model."""

    entries: Mapping[tuple[str, str], Price]  # by (provider, base model)

    def find(self, provider: str, base_model: str) -> Price | None:
        """Find the price of a base model, with or without its date; None if it is unknown, never a guess.

        Further training of a fine-tuned model (`ft:…`) has the price of its base model.
        """
        return find_row(self.entries, provider, base_model)


def load_prices(path: Path | None = None) -> PriceList:
    """Load the file at `path`, or the shipped file. Raises ConfigError with all problems of the file."""
    return PriceList(
        {(row["provider"], row["base_model"]): _price_from_row(row) for row in read_rows(PRICE_TABLE, path)}
    )


def _price_from_row(row: dict[str, Any]) -> Price:
    usd = float(row["usd_per_million_tokens"])
    return Price(usd_per_million_tokens=usd, as_of=row["as_of"], source=row["source"], fixed=row.get("fixed", False))
