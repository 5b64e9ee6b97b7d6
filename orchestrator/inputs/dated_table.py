"""Reads dated tables: TOML lists by provider and base model, shipped with the program or written by the operator.

Prices and retirements are such tables. One reader validates both, so that their errors look the same. Each row has a
date (`as_of`) and a source, because the providers publish these facts on web pages and change them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.core.errors import ConfigError
from orchestrator.core.model_name import get_base_model, strip_date
from orchestrator.core.structs import Struct, field
from orchestrator.system.regular_file import read_regular_file

Value = TypeVar("Value")


class DatedTable(Struct, frozen=True, kw_only=True):
    """The schema of a table."""

    row_name: str  # rows are [[row_name]] tables
    title: str  # the table's name in messages
    default_file: str  # the shipped file, in this package
    hint: str  # of every error
    required: Mapping[str, Any]  # type by key
    optional: Mapping[str, Any] = field(default_factory=dict)


def read_rows(table: DatedTable, path: Path | None) -> list[dict[str, Any]]:
    """Read the rows of the file at `path`, or of the shipped file. Raises ConfigError with all its problems."""
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
    validated: list[dict[str, Any]] = rows
    return validated


def find_row(entries: Mapping[tuple[str, str], Value], provider: str, base_model: str) -> Value | None:
    """Find the row of a base model; an entry with the model's date comes before one without. None if there is none.

    A fine-tuned model (`ft:…`) that is trained further counts as its base model.
    """
    plain = get_base_model(base_model)
    return entries.get((provider, plain)) or entries.get((provider, strip_date(plain)))


def _validate_rows(table: DatedTable, rows: object) -> list[str]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return [f"{table.row_name} must be a list of [[{table.row_name}]] tables"]
    return [
        f"{table.row_name} {number}: {problem}"
        for number, row in enumerate(rows, 1)
        for problem in _validate_row(table, row)
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
    """Yield a problem for each unknown key: a misspelt key would otherwise be ignored silently."""
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
