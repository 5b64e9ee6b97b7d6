"""Dated data: TOML tables that ship with the program, each row with its source, replaceable by the operator's own.

Prices and retirements are rows by provider and base model. One reader checks both, so that their faults read alike.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.core.errors import ConfigError
from orchestrator.system.regular_file import read_regular_file

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedTable:
    """What a list consists of: rows named `row`, with these keys. `title` is what messages call the list."""

    row_name: str
    title: str
    default_file: str
    hint: str
    required: Mapping[str, Any]
    optional: Mapping[str, Any] = field(default_factory=dict)


def read_rows(table: DatedTable, path: Path | None) -> list[dict[str, Any]]:
    """Read the rows of the list at `path`, or of the shipped one. Raises ConfigError with every fault of the file."""
    name = str(path or table.default_file)
    try:
        shipped = files(__package__).joinpath(table.default_file)
        document = tomllib.loads((read_regular_file(path) if path else shipped.read_bytes()).decode("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the {table.title} {name} cannot be read: {error.strerror}",
            hint="Correct the path or the permissions of the file.",
        ) from None
    except RecursionError:
        raise ConfigError(
            f"the {table.title} {name} is not valid TOML: it is nested too deeply", hint=table.hint
        ) from None
    except ValueError as error:  # not TOML, not UTF-8, or a number with too many digits
        raise ConfigError(f"the {table.title} {name} is not valid TOML: {error}", hint=table.hint) from None
    rows = document.get(table.row_name, [])
    if problems := [*_unknown_key_problems(document, [table.row_name]), *_validate_rows(table, rows)]:
        raise ConfigError(f"{name}: {problems[0]}", hint=table.hint, problems=problems)
    checked: list[dict[str, Any]] = rows
    return checked


def find_row(entries: Mapping[tuple[str, str], Value], provider: str, base_model: str) -> Value | None:
    """Find the row of a base model or, without its date, of its kind; None where there is none.

    An own `ft:…` model that is trained further counts as its base model.
    """
    plain = re.sub(r"^ft:([^:]*).*", r"\1", base_model)
    kind = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", plain)
    return entries.get((provider, plain)) or entries.get((provider, kind))


def _validate_rows(table: DatedTable, rows: object) -> list[str]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return [f"{table.row_name} must be a list of [[{table.row_name}]] tables"]
    return [
        f"{table.row_name} {number}: {fault}"
        for number, row in enumerate(rows, 1)
        for fault in _validate_row(table, row)
    ]


def _validate_row(table: DatedTable, row: dict[str, Any]) -> Iterable[str]:
    for key, kind in table.required.items():
        if not _has_type(row.get(key), kind):
            yield f"{key} is missing or has the wrong type"
    for key, kind in table.optional.items():
        if key in row and not _has_type(row[key], kind):
            yield f"{key} has the wrong type"
    yield from _unknown_key_problems(row, [*table.required, *table.optional])


def _unknown_key_problems(names: Iterable[str], known: Sequence[str]) -> Iterable[str]:
    """What is wrong with the names in a table: a misspelt one would do nothing, and nobody would notice."""
    for name in names:
        if name not in known:
            close = get_close_matches(name.lower(), known, n=1)
            yield f"{name} is not a known key" + (f'; did you mean "{close[0]}"?' if close else "")


def _has_type(value: object, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if not isinstance(value, kind):
        return False
    return not isinstance(value, int | float) or 0 <= value < float("inf")
