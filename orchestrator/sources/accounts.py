"""Accounts: reads the accounts file, the desired state of one deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, lacking
from orchestrator.core.delivery import Target
from orchestrator.core.options import RunOptions
from orchestrator.core.spec import Method, TrainingSpec
from orchestrator.sources import document
from orchestrator.sources.document import Document
from orchestrator.sources.faults import Faults, Table, nearest
from orchestrator.sources.paths import path_beside
from orchestrator.sources.schema import AccountTable, RunTable, SpecTable, is_account_name, validate
from orchestrator.sources.secrets import key_variables
from orchestrator.sources.targets import proxy_references, read_targets, references

_NEEDS_BASE_URL = {
    ProviderName.AZURE: "https://RESOURCE.openai.azure.com/openai/v1/",
    ProviderName.OPENAI_COMPATIBLE: "https://HOST/v1",
}

_OF_OWN_SERVERS = {"send_auto", "suffix_length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsFile:
    """What the operator wants. Paths are absolute; `warnings` are for the log and the plan."""

    path: Path
    options: RunOptions
    dataset: Path
    specs: Mapping[ProviderName, TrainingSpec]
    accounts: tuple[Account, ...]
    targets: tuple[Target, ...] = ()
    tokenizers: Mapping[ProviderName, Path] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def validation(self) -> Path | None:
        """The operator's own validation set."""
        return _beside(self.path, self.options.validation) if self.options.validation else None

    @property
    def chat_paths(self) -> Path | tuple[Path, ...]:
        """Everything that is sent to providers: the dataset, and the validation set where there is one."""
        return (self.dataset, self.validation) if self.validation else self.dataset

    @property
    def key_variables(self) -> frozenset[str]:
        """The variables of the environment that hold a key or a secret of this file."""
        keys = [account.api_key for account in self.accounts]
        others = (*references(self.accounts, self.targets), *proxy_references(self.accounts))
        return key_variables([*keys, *(each.reference for each in others)])


def read_accounts(path: Path) -> AccountsFile:
    """The accounts file as values; one ConfigError with every fault of the file, each with its line."""
    text = document.read_text(path)
    values = document.parse(path, text)
    faults = Faults(path, text)
    tables = document.take_apart(values, faults)
    _name_entries(tables, faults)
    run = None if tables.run is None else validate(RunTable, tables.run, ("run",), faults)
    blocks = {name: validate(SpecTable, block, ("run", name), faults) for name, block in tables.blocks.items()}
    accounts = tuple(_accounts(tables, faults))
    for name, block in tables.blocks.items():
        _check_block(name, block, faults)
        _check_tokenizer(path, name, block, faults)
    _check_path(path, (tables.run or {}).get("dataset"), ("run",), "dataset", faults)
    _check_validation(path, tables.run or {}, faults)
    targets = read_targets(tables, faults)
    _check_entries(tables, faults)
    _check_moderation(tables, faults)
    faults.raise_if_any()

    options = RunOptions(**_given(run))
    given = {name: _given(block) for name, block in blocks.items()}
    files = {name: block.pop("tokenizer", None) for name, block in given.items()}
    pinning = frozenset(name for name, block in given.items() if block.pop("pin_auto", False))
    specs = {
        name: TrainingSpec(**block, seed=options.seed if CAPABILITIES[name].seed else None, suffix=options.suffix)
        for name, block in given.items()
    }
    return AccountsFile(
        path=path.absolute(),
        options=replace(options, pin_auto=pinning),
        dataset=_beside(path, options.dataset),
        specs=specs,
        accounts=accounts,
        targets=targets,
        tokenizers={name: _beside(path, file) for name, file in files.items() if file},
        warnings=(*_unused(specs, accounts), *_seedless(specs), *_twins(accounts)),
    )


def _beside(path: Path, name: str) -> Path:
    """A path in the accounts file is relative to the file."""
    return path_beside(path.absolute().parent, name)


def _given(table: RunTable | SpecTable | AccountTable | None) -> dict[str, Any]:
    """What the file says, without defaults: those live in the core values."""
    assert table is not None  # a table is None only beside a fault, and faults have been raised
    return table.model_dump(exclude_unset=True)


def _accounts(tables: Document, faults: Faults) -> Iterator[Account]:
    for index, entry in enumerate(tables.entries):
        if table := validate(AccountTable, entry, ("accounts", index), faults):
            given = _given(table)
            yield Account(**{**given, "labels": tuple(given.get("labels", ()))})


def _name_entries(tables: Document, faults: Faults) -> None:
    for index, entry in enumerate(tables.entries):
        if is_account_name(entry.get("name")):
            faults.name(("accounts", index), entry["name"])


def _check_block(provider: ProviderName, block: Mapping[str, Any], faults: Faults) -> None:
    """What this provider is asked for and does not know; what no provider knows has been said already."""
    offers = CAPABILITIES[provider]
    for option in block:
        if option in SpecTable.model_fields and (why := lacking(provider, option)):
            faults.add(("run", provider), option, why)
    method = block.get("method")
    if method in get_args(Method) and method not in offers.methods:
        faults.add(("run", provider), "method", f"must be one of {', '.join(offers.methods)} at {provider}")


def _check_tokenizer(path: Path, provider: ProviderName, block: Mapping[str, Any], faults: Faults) -> None:
    tokenizer = block.get("tokenizer")
    if not isinstance(tokenizer, str) or not _check_path(path, tokenizer, ("run", provider), "tokenizer", faults):
        return
    if not _beside(path, tokenizer).is_file():
        why = "is not a file; write the path of the tokenizer.json published with the base model, or remove the line"
        faults.add(("run", provider), "tokenizer", why)


def _check_validation(path: Path, run: Mapping[str, Any], faults: Faults) -> None:
    """Whether the validation set is a set of its own."""
    validation, dataset = run.get("validation"), run.get("dataset", RunOptions(name="").dataset)
    if not isinstance(validation, str) or not _check_path(path, validation, ("run",), "validation", faults):
        return
    if run.get("validation_fraction"):
        why = "is given beside validation_fraction; write one of them, a file of your own or a share of the chats"
        faults.add(("run",), "validation", why)
    with suppress(ValueError, TypeError):  # a `dataset` that is no path is a fault of its own
        if _beside(path, dataset).resolve().is_relative_to(_beside(path, validation).resolve()):
            why = "is the dataset itself or holds it; name a file or folder with chats that are not trained with"
            faults.add(("run",), "validation", why)


def _check_path(path: Path, name: object, table: Table, option: str, faults: Faults) -> bool:
    """Whether the value can be a path at all."""
    try:
        if isinstance(name, str):
            _beside(path, name)
    except ValueError as fault:
        faults.add(table, option, str(fault))
        return False
    return True


def _check_entries(tables: Document, faults: Faults) -> None:
    first: dict[str, int] = {}
    for index, entry in enumerate(tables.entries):
        table, name, provider = ("accounts", index), entry.get("name"), entry.get("provider")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            line = faults.line(("accounts", first[name]), "name")
            faults.add(table, "name", f"is already used in line {line}; give each account a name of its own")
        if provider not in list(ProviderName):
            continue
        if provider not in tables.blocks:
            faults.add(table, "provider", f'has no block; add [run.{provider}] with base_model = "…" below it')
        if provider == ProviderName.FIREWORKS and "organization" not in entry:
            faults.add(table, "organization", 'is missing; add organization = "…", the account\'s id at fireworks')
        if provider in _NEEDS_BASE_URL and "base_url" not in entry:
            faults.add(table, "base_url", f'is missing; add base_url = "{_NEEDS_BASE_URL[provider]}"')
        if provider != ProviderName.OPENAI and "webhook_secret" in entry:
            faults.add(table, "webhook_secret", f"has no use: {provider} sends no webhooks; remove the line")
        for option in _OF_OWN_SERVERS & entry.keys() if provider != ProviderName.OPENAI_COMPATIBLE else ():
            faults.add(table, option, f"is known for {provider}; only openai-compatible takes it: remove the line")


def _check_moderation(tables: Document, faults: Faults) -> None:
    run = tables.run or {}
    names = [entry["name"] for entry in tables.entries if isinstance(entry.get("name"), str)]
    moderation = run.get("moderation")
    if isinstance(moderation, str) and moderation not in names:
        close = nearest(moderation, names) or "; write the name of one, or remove the line"
        faults.add(("run",), "moderation", f"is not the name of an account in this file{close}")
    if "moderation" in run and "moderation_waived" in run:
        faults.add(("run",), "moderation_waived", "contradicts moderation; keep one of the two")


def _unused(specs: Mapping[ProviderName, TrainingSpec], accounts: tuple[Account, ...]) -> Iterator[str]:
    used = {account.provider for account in accounts}
    yield from (f"[run.{name}] is not used: no account has this provider" for name in specs if name not in used)


def _seedless(specs: Mapping[ProviderName, TrainingSpec]) -> Iterator[str]:
    for name in specs:
        if not CAPABILITIES[name].seed:
            yield f"[run.{name}] trains without a seed: {name} has none, so its models may differ more than others"


def _twins(accounts: tuple[Account, ...]) -> Iterator[str]:
    """Accounts that lead to the same place at the provider, as far as the file tells."""

    def place(account: Account) -> tuple[str, ...]:
        key = "" if account.organization and account.project else account.api_key
        parts = (account.provider, account.base_url, account.organization, account.project, key)
        return tuple(part or "" for part in parts)

    for _, group in groupby(sorted(accounts, key=place), key=place):
        names = [account.name for account in group]
        if len(names) > 1:
            yield f"{', '.join(names)} lead to the same place at the provider: each is trained and paid for"
