"""Prices: the dated price list, shipped as data and replaceable by the operator's own."""

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
    """Prices by provider and base model."""

    entries: Mapping[tuple[str, str], Price]

    def find(self, provider: str, base_model: str) -> Price | None:
        """The price of a base model or, without its date, of its kind; None where it is not known.

        Training on from an own `ft:…` model costs what its base model costs.
        """
        return find_row(self.entries, provider, base_model)


def load_prices(path: Path | None = None) -> PriceList:
    """The list at `path`, or the one that is shipped. Raises ConfigError with every fault of the file."""
    return PriceList(
        {(row["provider"], row["base_model"]): _price_from_row(row) for row in read_rows(PRICE_TABLE, path)}
    )


def _price_from_row(row: dict[str, Any]) -> Price:
    usd = float(row["usd_per_million_tokens"])
    return Price(usd_per_million_tokens=usd, as_of=row["as_of"], source=row["source"], fixed=row.get("fixed", False))
