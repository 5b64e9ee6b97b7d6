"""Loads the accounts file, which describes the desired state of one deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, unsupported_reason
from orchestrator.core.notifications.delivery import NotificationTarget
from orchestrator.core.providers import CONDITIONAL_ACCOUNT_OPTIONS, PROVIDERS, list_providers_with_account_option
from orchestrator.core.spec import Method, RunOptions, TrainingSpec
from orchestrator.inputs.accounts_file import document
from orchestrator.inputs.accounts_file.document import AccountsDocument
from orchestrator.inputs.accounts_file.problems import ProblemCollector, TablePath, format_suggestion
from orchestrator.inputs.accounts_file.schema import (
    AccountTable,
    RunTable,
    SpecTable,
    is_account_name,
    validate_table,
)
from orchestrator.inputs.accounts_file.targets import list_proxy_references, list_secret_references, parse_targets
from orchestrator.inputs.paths import resolve_path
from orchestrator.inputs.secrets.references import list_key_variables


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsFile:
    """The content of a valid accounts file. All paths are absolute."""

    path: Path
    options: RunOptions  # [run]
    dataset: Path  # file or folder of chats
    specs: Mapping[ProviderName, TrainingSpec]  # [run.PROVIDER]
    accounts: tuple[Account, ...]
    targets: tuple[NotificationTarget, ...] = ()  # [[webhooks]] and [[alerts]]
    tokenizers: Mapping[ProviderName, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()  # for the log and the plan; none prevents the run

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent

    @property
    def validation_path(self) -> Path | None:
        """The separate validation set, if the file names one."""
        return _resolve_path(self.path, self.options.validation) if self.options.validation else None

    @property
    def chat_paths(self) -> Path | tuple[Path, ...]:
        """The paths of all chats that are sent to providers: the dataset, and the validation set if there is one."""
        return (self.dataset, self.validation_path) if self.validation_path else self.dataset

    @property
    def key_variables(self) -> frozenset[str]:
        """The names of the environment variables that contain a key or a secret of this file."""
        keys = [account.api_key for account in self.accounts]
        others = (*list_secret_references(self.accounts, self.targets), *list_proxy_references(self.accounts))
        return list_key_variables([*keys, *(each.reference for each in others)])


def load_accounts_file(path: Path) -> AccountsFile:
    """Load and validate the accounts file. Raises one ConfigError with every problem, each with its line."""
    return parse_accounts_file(path, document.read_accounts_file(path))


def parse_accounts_file(path: Path, text: str) -> AccountsFile:
    """Validate the text of an accounts file as if it were at `path`. Raises ConfigError as `load_accounts_file`."""
    values = document.parse_toml(path, text)
    problems = ProblemCollector(path, text)
    tables = document.split_tables(values, problems)
    _set_entry_names(tables, problems)
    run = None if tables.run is None else validate_table(RunTable, tables.run, ("run",), problems)
    blocks = {
        name: validate_table(SpecTable, block, ("run", name), problems)
        for name, block in tables.provider_blocks.items()
    }
    accounts = tuple(_build_accounts(tables, problems))
    for name, block in tables.provider_blocks.items():
        _check_block(name, block, problems)
        _check_tokenizer(path, name, block, problems)
    _check_path(path, (tables.run or {}).get("dataset"), ("run",), "dataset", problems)
    _check_validation(path, tables.run or {}, problems)
    targets = parse_targets(tables, problems)
    _check_entries(tables, problems)
    _check_moderation(tables, problems)
    problems.raise_if_any()

    options = RunOptions(**_explicit_options(run))
    options_by_provider = {name: _explicit_options(block) for name, block in blocks.items()}
    files = {name: block.pop("tokenizer", None) for name, block in options_by_provider.items()}
    pinning = frozenset(name for name, block in options_by_provider.items() if block.pop("pin_auto", False))
    specs = {
        name: TrainingSpec(**block, seed=options.seed if CAPABILITIES[name].seed else None, suffix=options.suffix)
        for name, block in options_by_provider.items()
    }
    return AccountsFile(
        path=path.absolute(),
        options=replace(options, pin_auto=pinning),
        dataset=_resolve_path(path, options.dataset),
        specs=specs,
        accounts=accounts,
        targets=targets,
        tokenizers={name: _resolve_path(path, file) for name, file in files.items() if file},
        warnings=(
            *_unused_block_warnings(specs, accounts),
            *_missing_seed_warnings(specs),
            *_same_account_warnings(accounts),
        ),
    )


def _resolve_path(path: Path, name: str) -> Path:
    return resolve_path(path.absolute().parent, name)


def _explicit_options(table: RunTable | SpecTable | AccountTable | None) -> dict[str, Any]:
    """Return the options that the file contains, without defaults: those are in the core values."""
    assert table is not None  # a table is None only if it has problems, and those have been raised
    return table.model_dump(exclude_unset=True)


def _build_accounts(tables: AccountsDocument, problems: ProblemCollector) -> Iterator[Account]:
    for index, entry in enumerate(tables.accounts):
        if table := validate_table(AccountTable, entry, ("accounts", index), problems):
            options = _explicit_options(table)
            yield Account(**{**options, "labels": tuple(options.get("labels", ()))})


def _set_entry_names(tables: AccountsDocument, problems: ProblemCollector) -> None:
    for index, entry in enumerate(tables.accounts):
        if is_account_name(entry.get("name")):
            problems.set_name(("accounts", index), entry["name"])


def _check_block(provider: ProviderName, block: Mapping[str, Any], problems: ProblemCollector) -> None:
    """Report the options that this provider lacks. Options that no provider has are reported by `validate_table`."""
    offers = CAPABILITIES[provider]
    for option in block:
        if option in SpecTable.model_fields and (why := unsupported_reason(provider, option)):
            problems.add(("run", provider), option, why)
    method = block.get("method")
    if method in get_args(Method) and method not in offers.methods:
        problems.add(("run", provider), "method", f"must be one of {', '.join(offers.methods)} at {provider}")


def _check_tokenizer(
    path: Path, provider: ProviderName, block: Mapping[str, Any], problems: ProblemCollector
) -> None:
    tokenizer = block.get("tokenizer")
    if not isinstance(tokenizer, str) or not _check_path(path, tokenizer, ("run", provider), "tokenizer", problems):
        return
    if not _resolve_path(path, tokenizer).is_file():
        why = "is not a file; write the path of the tokenizer.json of the base model, or remove the line"
        problems.add(("run", provider), "tokenizer", why)


def _check_validation(path: Path, run: Mapping[str, Any], problems: ProblemCollector) -> None:
    """Report a validation set that is, or contains, the dataset."""
    validation, dataset = run.get("validation"), run.get("dataset", RunOptions(name="").dataset)
    if not isinstance(validation, str) or not _check_path(path, validation, ("run",), "validation", problems):
        return
    if run.get("validation_fraction"):
        why = "cannot be used together with validation_fraction; remove one of the two lines"
        problems.add(("run",), "validation", why)
    with suppress(ValueError, TypeError):  # a `dataset` that is no path is reported separately
        if _resolve_path(path, dataset).resolve().is_relative_to(_resolve_path(path, validation).resolve()):
            why = "is the dataset or contains it; name a file or folder with chats that are not used for training"
            problems.add(("run",), "validation", why)


def _check_path(path: Path, text: object, table: TablePath, option: str, problems: ProblemCollector) -> bool:
    """Return whether the value can be a path, after reporting one that cannot."""
    try:
        if isinstance(text, str):
            _resolve_path(path, text)
    except ValueError as error:
        problems.add(table, option, str(error))
        return False
    return True


def _check_entries(tables: AccountsDocument, problems: ProblemCollector) -> None:
    first: dict[str, int] = {}
    for index, entry in enumerate(tables.accounts):
        table, name, provider = ("accounts", index), entry.get("name"), entry.get("provider")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            line = problems.find_line(("accounts", first[name]), "name")
            problems.add(table, "name", f"is already used in line {line}; give each account a unique name")
        if provider not in list(ProviderName):
            continue
        if provider not in tables.provider_blocks:
            problems.add(table, "provider", f'has no block; add [run.{provider}] with base_model = "…" below it')
        info = PROVIDERS[ProviderName(provider)]
        for option, suggestion in info.required_account_options.items():
            if option not in entry:
                problems.add(table, option, f"is missing; add {suggestion}")
        for option in (CONDITIONAL_ACCOUNT_OPTIONS - info.account_options) & entry.keys():
            accepted = " and ".join(list_providers_with_account_option(option))
            problems.add(table, option, f"is not an option for {provider}, only for {accepted}; remove the line")


def _check_moderation(tables: AccountsDocument, problems: ProblemCollector) -> None:
    run = tables.run or {}
    names = [entry["name"] for entry in tables.accounts if isinstance(entry.get("name"), str)]
    moderation = run.get("moderation")
    if isinstance(moderation, str) and moderation not in names:
        close = format_suggestion(moderation, names) or "; write the name of one, or remove the line"
        problems.add(("run",), "moderation", f"is not the name of an account in this file{close}")
    if "moderation" in run and "moderation_waived" in run:
        problems.add(("run",), "moderation_waived", "contradicts moderation; keep one of the two")


def _unused_block_warnings(
    specs: Mapping[ProviderName, TrainingSpec], accounts: tuple[Account, ...]
) -> Iterator[str]:
    used = {account.provider for account in accounts}
    yield from (f"[run.{name}] is not used: no account has this provider" for name in specs if name not in used)


def _missing_seed_warnings(specs: Mapping[ProviderName, TrainingSpec]) -> Iterator[str]:
    for name in specs:
        if not CAPABILITIES[name].seed:
            yield (
                f"[run.{name}] trains without a seed, because {name} does not support one: "
                "its models may differ more from each other"
            )


def _same_account_warnings(accounts: tuple[Account, ...]) -> Iterator[str]:
    """Warn about entries that are one account at the provider, as far as the file shows."""

    def place(account: Account) -> tuple[str, ...]:
        key = "" if account.organization and account.project else account.api_key
        parts = (account.provider, account.base_url, account.organization, account.project, key)
        return tuple(part or "" for part in parts)

    for _, group in groupby(sorted(accounts, key=place), key=place):
        names = [account.name for account in group]
        if len(names) > 1:
            yield f"{', '.join(names)} are one account at the provider: each trains, and pays for, a model of its own"
