"""Loads the retirement dates that providers do not return by their API, shipped or from the operator's own file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from orchestrator.core.plans.retirement import Retirement
from orchestrator.core.structs import Struct
from orchestrator.inputs.dated_table import DatedTable, find_row, read_rows

RETIREMENT_TABLE: Final = DatedTable(
    row_name="retirement",
    title="list of retirements",
    default_file="retirements.toml",
    hint="Each [[retirement]] has provider, base_model, as_of (a date) and source; and, where they are known, "
    "new_customers_end, training_ends and inference_ends (dates) and tentative (true or false).",
    required={"provider": str, "base_model": str, "as_of": date, "source": str},
    optional={"new_customers_end": date, "training_ends": date, "inference_ends": date, "tentative": bool},
)


class RetirementList(Struct, frozen=True):
    """Retirement dates by provider and base model."""

    entries: Mapping[tuple[str, str], Retirement]  # by (provider, base model)

    def find(self, provider: str, base_model: str) -> Retirement | None:
        """Find the dates of a base model, with or without its version date; None if none are known."""
        return find_row(self.entries, provider, base_model)


def load_retirements(path: Path | None = None) -> RetirementList:
    """Load the file at `path`, or the shipped file. Raises ConfigError with all problems of the file."""
    rows = read_rows(RETIREMENT_TABLE, path)
    return RetirementList({(row["provider"], row["base_model"]): _retirement_from_row(row) for row in rows})


def _retirement_from_row(row: dict[str, Any]) -> Retirement:
    return Retirement(**{key: value for key, value in row.items() if key not in {"provider", "base_model"}})
