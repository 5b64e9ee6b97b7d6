"""Names for shell completion: accounts, runs and notification targets of the accounts file.

A shell waits for the answer while a person types. The file is therefore only parsed, not validated, no key and no
database is read, and every problem means "no suggestions".
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

FILE_VARIABLE: Final = "ORCHESTRATOR_ACCOUNTS_FILE"
DEFAULT_FILE: Final = "accounts.toml"


def complete_accounts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of accounts that begin with `incomplete`, without those that are already typed."""
    typed = ctx.params.get("accounts")
    excluded = typed if isinstance(typed, list | tuple) else ()
    names = _list_values(ctx, ("accounts",), "name")
    return [name for name in names if name.startswith(incomplete) and name not in excluded]


def complete_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of runs that begin with `incomplete`."""
    return [name for name in _list_values(ctx, ("run", "runs"), "name") if name.startswith(incomplete)]


def complete_targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the addresses of webhooks and alerts that begin with `incomplete`."""
    return [url for url in _list_values(ctx, ("webhooks", "alerts"), "url") if url.startswith(incomplete)]


def _list_values(ctx: typer.Context, tables: tuple[str, ...], key: str) -> list[str]:
    document = _read_accounts_file(ctx)
    return list(dict.fromkeys(value for table in tables for value in _iterate(document.get(table), key)))


def _iterate(table: Any, key: str) -> Iterator[str]:
    for entry in table if isinstance(table, list) else [table]:
        value = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(value, str) and _is_plain_word(value):
            yield value


def _is_plain_word(value: str) -> bool:
    """Return whether every shell takes the value as one word, as it is.

    Typer's script for zsh evaluates the suggestions: Tab in a folder with somebody else's accounts file would execute
    a name such as `x\\$(command)`. A shell would also take a line end for the next suggestion.
    """
    return shlex.quote(value) == value


def _read_accounts_file(ctx: typer.Context) -> dict[str, Any]:
    import tomllib  # lazy: `--help` does not need it

    from orchestrator.system.regular_file import read_regular_file

    option = ctx.params.get("accounts")  # `--accounts`, unless the command has account names of this name
    path = option if isinstance(option, Path) else Path(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    try:
        return tomllib.loads(read_regular_file(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
