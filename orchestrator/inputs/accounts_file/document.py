"""Reads the accounts file as TOML and splits it into its tables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.structs import Struct
from orchestrator.inputs.accounts_file.problems import ProblemCollector, TablePath, format_suggestion
from orchestrator.inputs.accounts_file.schema import RunsTable
from orchestrator.system.regular_file import read_regular_file

Options = dict[str, Any]
TABLE_NAMES = ("run", "runs", "accounts", "webhooks", "alerts")
DEPLOYMENT_TABLE = "deployment"
COMPARISON_TABLE = "comparison"
KNOWN_TABLES = "[run], [run.PROVIDER], [[runs]], [runs.PROVIDER], [[accounts]], [[webhooks]] and [[alerts]]"

VALUE_HINT = "Text needs quotes: name = \"value\"; a backslash needs single quotes: dataset = 'C:\\chats'."
TOML_HINTS = (
    ("Expected ']", "A header stands on a line of its own, with all its brackets: [run] or [[accounts]]."),
    ("Cannot declare", "A header may occur once; only [[accounts]] and others in two brackets are repeated."),
    ("Cannot overwrite", "An option occurs twice below one header: remove one, or add the missing header."),
    ("Expected newline", "Write one option or one header in each line; only a comment may follow it."),
    ("Expected '='", 'Write an option as name = "value".'),
    ("Unclosed array", 'Write a list as ["one", "two"], with commas and both brackets.'),
)
"""How to correct an error, by the beginning of the TOML library's message; VALUE_HINT applies to all others."""


class RunDocument(Struct, frozen=True):
    """`[run]`, or one `[[runs]]` entry, with its providers' blocks."""

    table: TablePath  # ("run",) or ("runs", 0)
    options: Options
    provider_blocks: Mapping[ProviderName, Options]
    deployments: Mapping[ProviderName, Options]  # `[run.PROVIDER.deployment]`; a block without it deploys nothing
    comparison: Options  # `[run.comparison]`, empty without it

    @property
    def is_entry(self) -> bool:
        """Whether it is a `[[runs]]` entry."""
        return self.table != ("run",)


class AccountsDocument(Struct, frozen=True):
    """The options as they are written, before validation."""

    runs: tuple[RunDocument, ...]  # empty if the file has no usable run
    accounts: tuple[Options, ...]
    webhooks: tuple[Options, ...] = ()
    alerts: tuple[Options, ...] = ()


def read_accounts_file(path: Path) -> str:
    """Read the text of the file. Raises ConfigError if that is impossible."""
    try:
        return read_regular_file(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no accounts file at {path}",
            hint="Create it with `orchestrator init`, or name an existing file with --accounts.",
        ) from None
    except OSError as fault:
        raise ConfigError(
            f"the accounts file {path} cannot be read ({fault.strerror})",
            hint="ORCHESTRATOR_ACCOUNTS_FILE must name a regular file that the service's user may read.",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the accounts file {path} is not UTF-8 text", hint="Save it as UTF-8.") from None


def parse_toml(path: Path, text: str) -> Options:
    """Parse the TOML. Raises ConfigError, with the line if it is known."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        reason, _, place = str(fault).partition(" (at ")
        number = re.match(r"line (\d+)", place)
        line = number[1] if number else len(text.rstrip().splitlines())
        raise ConfigError(
            f"{path} is not valid TOML",
            hint=next((hint for start, hint in TOML_HINTS if reason.startswith(start)), VALUE_HINT),
            problems=[f"{path.name}:{line}: {reason}"],
        ) from None
    except (ValueError, RecursionError) as fault:
        raise ConfigError(
            f"{path} cannot be read as TOML: {format_toml_error(fault)}", hint="Correct or remove that value."
        ) from None


def format_toml_error(fault: Exception) -> str:
    """Describe an error that the TOML library does not wrap in its own."""
    return (
        "its tables or lists are nested too deeply"
        if isinstance(fault, RecursionError)
        else "a number has too many digits"
    )


def split_tables(values: Options, problems: ProblemCollector) -> AccountsDocument:
    """Split the file into tables, and report those that are unknown, missing or of the wrong shape."""
    for key, value in values.items():
        if key in frozenset(ProviderName) and isinstance(value, dict):
            problems.add((key,), None, f"a provider's table is written [run.{key}]")
        elif key in RunsTable.model_fields and key not in TABLE_NAMES:
            problems.add((), key, "belongs below the header [run]")
        elif key not in TABLE_NAMES:
            close = format_suggestion(key, TABLE_NAMES) or f"; the known tables are {KNOWN_TABLES}"
            problems.add((), key, f"is not known{close}")
    runs = _extract_runs(values, problems)
    if values.get("accounts", []) == []:
        problems.add((), None, "has no account; add [[accounts]] with name, provider and api_key below it")
    accounts, webhooks, alerts = (_extract_entries(values, name, problems) for name in TABLE_NAMES[2:])
    return AccountsDocument(runs, accounts, webhooks, alerts)


def _extract_runs(values: Options, problems: ProblemCollector) -> tuple[RunDocument, ...]:
    if "runs" in values:
        if "run" in values:
            problems.add(("run",), None, "cannot be used together with [[runs]]; write this run as a [[runs]] entry")
        entries = _extract_entries(values, "runs", problems)
        if values["runs"] == []:
            problems.add((), "runs", 'has no run; add [[runs]] with name = "…" below it')
        return tuple(_build_run_document(("runs", index), entry, problems) for index, entry in enumerate(entries))
    if "run" not in values:
        problems.add((), None, 'has no [run]; add it, with name = "…" below it')
        return ()
    if not isinstance(values["run"], dict):
        problems.add((), "run", "must be a table: write [run] on a line of its own and its options below it")
        return ()
    return (_build_run_document(("run",), values["run"], problems),)


def _build_run_document(table: TablePath, values: Options, problems: ProblemCollector) -> RunDocument:
    options = dict(values)
    blocks = _extract_provider_blocks(table, options, problems)
    deployments = _extract_deployments(table, blocks, problems)
    comparison = options.pop(COMPARISON_TABLE, {})
    if not isinstance(comparison, dict):
        problems.add(
            table, COMPARISON_TABLE, f"must be a table: write [{table[0]}.{COMPARISON_TABLE}] on a line of its own"
        )
        comparison = {}
    return RunDocument(table, options, blocks, deployments, comparison)


def _extract_provider_blocks(
    table: TablePath, run: Options, problems: ProblemCollector
) -> dict[ProviderName, Options]:
    """Remove the providers' tables from `run` and return them."""
    blocks: dict[ProviderName, Options] = {}
    for name in ProviderName:
        block = run.pop(name, None)
        if isinstance(block, dict):
            blocks[name] = dict(block)
        elif block is not None:
            problems.add(table, name, f"must be a table: write [{table[0]}.{name}] on a line of its own")
    return blocks


def _extract_deployments(
    table: TablePath, blocks: Mapping[ProviderName, Options], problems: ProblemCollector
) -> dict[ProviderName, Options]:
    """Remove the deployment's table from each block and return them."""
    deployments: dict[ProviderName, Options] = {}
    for name, block in blocks.items():
        deployment = block.pop(DEPLOYMENT_TABLE, None)
        if isinstance(deployment, dict):
            deployments[name] = deployment
        elif deployment is not None:
            why = f"must be a table: write [{table[0]}.{name}.{DEPLOYMENT_TABLE}] on a line of its own"
            problems.add((*table, name), DEPLOYMENT_TABLE, why)
    return deployments


def _extract_entries(values: Options, name: str, problems: ProblemCollector) -> tuple[Options, ...]:
    entries = values.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(
            (), name, f"must be written [[{name}]], with two brackets, once for each {name.removesuffix('s')}"
        )
        return ()
    return tuple(entries)
