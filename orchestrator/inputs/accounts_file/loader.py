"""Loads the accounts file, which describes the desired state of one deployment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import NotificationTarget
from orchestrator.core.providers import CONDITIONAL_ACCOUNT_OPTIONS, PROVIDERS, list_providers_with_account_option
from orchestrator.core.structs import Struct
from orchestrator.inputs.accounts_file import document
from orchestrator.inputs.accounts_file.document import AccountsDocument, Options
from orchestrator.inputs.accounts_file.problems import ProblemCollector, TablePath, format_suggestion
from orchestrator.inputs.accounts_file.runs import (
    RunDefinition,
    build_run,
    explicit_options,
    format_deployment_table,
    list_run_warnings,
    selects_account,
    validate_runs,
)
from orchestrator.inputs.accounts_file.schema import AccountTable, is_account_name, validate_table
from orchestrator.inputs.accounts_file.targets import list_proxy_references, list_secret_references, parse_targets
from orchestrator.inputs.secrets.credential_document import GOOGLE_DEFAULT
from orchestrator.inputs.secrets.references import list_key_variables


class AccountsFile(Struct, frozen=True, kw_only=True):
    """The content of a valid accounts file. All paths are absolute."""

    path: Path
    runs: tuple[RunDefinition, ...]  # [run], or the [[runs]] entries in the order of the file
    has_several_runs: bool = False  # whether the file uses [[runs]], even with one entry
    accounts: tuple[Account, ...]  # all accounts of the file, also those that no run selects
    targets: tuple[NotificationTarget, ...] = ()  # [[webhooks]] and [[alerts]]
    warnings: tuple[str, ...] = ()  # for the log and the plan; none prevents the run

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent

    def get_run(self, name: str | None = None) -> RunDefinition:
        """Return the run with this name, or the only run. Raises ConfigError when that is not one run."""
        names = [run.options.name for run in self.runs]
        if name is None and len(self.runs) > 1:
            raise ConfigError(
                f"{self.path} describes {len(names)} runs, and the command needs one of them",
                hint=f"Choose it with --run NAME. The runs are: {', '.join(names)}.",
            )
        selected = [run for run in self.runs if name in {None, run.options.name}]
        if not selected:
            raise ConfigError(
                f'there is no run "{name}" in {self.path}{format_suggestion(name or "", names)}',
                hint=f"The runs are: {', '.join(names)}.",
            )
        return selected[0]

    @property
    def secret_references(self) -> tuple[str, ...]:
        """The references to all keys and other secrets of this file, each once."""
        keys = [account.api_key for account in self.accounts]
        keys += [account.management_key for account in self.accounts if account.management_key]
        others = (*list_secret_references(self.accounts, self.targets), *list_proxy_references(self.accounts))
        return tuple(dict.fromkeys([*keys, *(each.reference for each in others)]))

    @property
    def key_variables(self) -> frozenset[str]:
        """The names of the environment variables that contain a key or a secret of this file."""
        return list_key_variables(self.secret_references)


def load_accounts_file(path: Path) -> AccountsFile:
    """Load and validate the accounts file. Raises one ConfigError with every problem, each with its line."""
    return parse_accounts_file(path, document.read_accounts_file(path))


def parse_accounts_file(path: Path, text: str) -> AccountsFile:
    """Validate the text of an accounts file as if it were at `path`. Raises ConfigError as `load_accounts_file`."""
    values = document.parse_toml(path, text)
    problems = ProblemCollector(path, text)
    tables = document.split_tables(values, problems)
    _set_entry_names(tables, problems)
    runs = validate_runs(path, tables, problems)
    accounts = tuple(_build_accounts(tables, problems))
    targets = parse_targets(tables, problems)
    _check_entries(tables, problems)
    problems.raise_if_any()

    definitions = tuple(build_run(path, run, accounts) for run in runs)
    documents = [run.document for run in runs]
    return AccountsFile(
        path=path.absolute(),
        runs=definitions,
        has_several_runs=documents[0].is_entry,
        accounts=accounts,
        targets=targets,
        warnings=(
            *list_run_warnings(zip(documents, definitions, strict=True), accounts),
            *_same_account_warnings(accounts),
        ),
    )


def _build_accounts(tables: AccountsDocument, problems: ProblemCollector) -> Iterator[Account]:
    for index, entry in enumerate(tables.accounts):
        if table := validate_table(AccountTable, entry, ("accounts", index), problems):
            options = explicit_options(table)
            yield Account(**{**options, "labels": tuple(options.get("labels", ()))})


def _set_entry_names(tables: AccountsDocument, problems: ProblemCollector) -> None:
    for index, entry in enumerate(tables.accounts):
        if is_account_name(entry.get("name")):
            problems.set_name(("accounts", index), entry["name"])


def _check_entries(tables: AccountsDocument, problems: ProblemCollector) -> None:
    first: dict[str, int] = {}
    for index, entry in enumerate(tables.accounts):
        table, name, provider = ("accounts", index), entry.get("name"), entry.get("provider")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            line = problems.find_line(("accounts", first[name]), "name")
            problems.add(table, "name", f"is already used in line {line}; give each account a unique name")
        if provider not in list(ProviderName):
            continue
        if any(not run.is_entry and provider not in run.provider_blocks for run in tables.runs):
            problems.add(table, "provider", f'has no block; add [run.{provider}] with base_model = "…" below it')
        info = PROVIDERS[ProviderName(provider)]
        for option, suggestion in info.required_account_options.items():
            if option not in entry:
                problems.add(table, option, f"is missing; add {suggestion}")
        _check_deployment_options(tables, table, entry, problems)
        for option in (CONDITIONAL_ACCOUNT_OPTIONS - info.account_options) & entry.keys():
            accepted = " and ".join(list_providers_with_account_option(option))
            problems.add(table, option, f"is not an option for {provider}, only for {accepted}; remove the line")
        if entry.get("api_key") == GOOGLE_DEFAULT and not info.accepts_google_default:
            problems.add(table, "api_key", f"{GOOGLE_DEFAULT} is not a key of {provider}, only of vertex")
        if entry.get("suffix_required") is True and entry.get("suffix_length") == 0:
            problems.add(table, "suffix_required", "contradicts suffix_length = 0, which sends no suffix; remove one")


def _check_deployment_options(
    tables: AccountsDocument, table: TablePath, entry: Options, problems: ProblemCollector
) -> None:
    """Report each option that the deployments of an account need and that is missing."""
    provider = ProviderName(entry["provider"])
    needed = PROVIDERS[provider].deployment_account_options
    reason = next((f"{option} is given" for option in needed if option in entry), None)
    if reason is None and needed:
        deploying = [run for run in tables.runs if provider in run.deployments and selects_account(run, entry)]
        if deploying:
            reason = f"{format_deployment_table(deploying[0], provider)} deploys its models"
    for option, suggestion in needed.items():
        if reason and option not in entry:
            problems.add(table, option, f"is missing: {reason}; add {suggestion}")


def _same_account_warnings(accounts: tuple[Account, ...]) -> Iterator[str]:
    """Warn about entries that are one account at the provider, as far as the file shows."""

    def place(account: Account) -> tuple[str, ...]:
        key = "" if account.organization and account.project else account.api_key
        parts = (account.provider, account.base_url, account.organization, account.project, account.region, key)
        return tuple(part or "" for part in parts)

    for _, group in groupby(sorted(accounts, key=place), key=place):
        names = [account.name for account in group]
        if len(names) > 1:
            yield f"{', '.join(names)} are one account at the provider: each trains, and pays for, a model of its own"
