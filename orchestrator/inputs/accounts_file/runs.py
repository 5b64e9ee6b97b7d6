"""Runs of the accounts file: `[run]`, or one `[[runs]]` entry for each of several runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, unsupported_reason
from orchestrator.core.comparison.comparison import ComparisonSettings
from orchestrator.core.deployment.deployment_offers import find_spec_problems
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.spec import Method, RunOptions, TrainingSpec
from orchestrator.core.structs import Struct, field, replace
from orchestrator.inputs.accounts_file.document import (
    COMPARISON_TABLE,
    DEPLOYMENT_TABLE,
    AccountsDocument,
    Options,
    RunDocument,
)
from orchestrator.inputs.accounts_file.problems import ProblemCollector, TablePath, format_suggestion
from orchestrator.inputs.accounts_file.schema import (
    ComparisonTable,
    DeploymentTable,
    RunsTable,
    RunTable,
    SpecTable,
    is_account_name,
    validate_table,
)
from orchestrator.inputs.paths import resolve_path

ALL_ACCOUNTS = "*"
LABEL_PREFIX = "label:"


class RunDefinition(Struct, frozen=True, kw_only=True):
    """One run that the accounts file describes. All paths are absolute."""

    options: RunOptions
    dataset: Path  # file or folder of chats
    validation_path: Path | None = None  # the separate validation set, if there is one
    specs: Mapping[ProviderName, TrainingSpec]  # by provider block
    accounts: tuple[Account, ...]  # those that the run selects
    tokenizers: Mapping[ProviderName, Path] = field(default_factory=dict)
    deployments: Mapping[ProviderName, DeploymentSpec] = field(default_factory=dict)  # none without an explicit table
    comparison: ComparisonSettings = field(default_factory=ComparisonSettings)
    comparison_schedule: str | None = None  # cron line at whose times the service compares the models
    is_entry: bool = False  # whether it is a [[runs]] entry, not [run]

    @property
    def table(self) -> str:
        """The table of the accounts file that describes the run, for messages."""
        return f"[[runs]] {self.options.name}" if self.is_entry else "[run]"

    def format_block(self, provider: ProviderName) -> str:
        """Return the name of the provider's block, for messages."""
        return f"[runs.{provider}]" if self.is_entry else f"[run.{provider}]"

    @property
    def chat_paths(self) -> Path | tuple[Path, ...]:
        """The paths of all chats that are sent to providers: the dataset, and the validation set if there is one."""
        return (self.dataset, self.validation_path) if self.validation_path else self.dataset


class ValidatedRun(Struct, frozen=True):
    """The tables of one run after validation. A table that has problems is None."""

    document: RunDocument
    options: RunTable | None
    blocks: Mapping[ProviderName, SpecTable | None]
    deployments: Mapping[ProviderName, DeploymentTable | None]
    comparison: ComparisonTable | None


def validate_runs(path: Path, tables: AccountsDocument, problems: ProblemCollector) -> list[ValidatedRun]:
    """Validate all options of the runs, and report every problem."""
    _set_names(tables, problems)
    validated = []
    for run in tables.runs:
        options = validate_table(RunsTable if run.is_entry else RunTable, run.options, run.table, problems)
        blocks = {
            name: validate_table(SpecTable, block, (*run.table, name), problems)
            for name, block in run.provider_blocks.items()
        }
        for name, block in run.provider_blocks.items():
            _check_block((*run.table, name), name, block, problems)
            _check_tokenizer(path, (*run.table, name), block, problems)
        _check_path(path, run.options.get("dataset"), run.table, "dataset", problems)
        _check_validation(path, run, problems)
        _check_moderation(run, tables, problems)
        if run.is_entry:
            _check_selectors(run, tables, problems)
            _check_blocks_of_accounts(run, tables, problems)
        deployments = {
            name: _validate_deployment((*run.table, name, DEPLOYMENT_TABLE), name, options_of_deployment, problems)
            for name, options_of_deployment in run.deployments.items()
        }
        table = (*run.table, COMPARISON_TABLE)
        _check_path(path, run.comparison.get("probes_file"), table, "probes_file", problems)
        comparison = validate_table(ComparisonTable, run.comparison, table, problems)
        if comparison is not None and comparison.schedule is not None and comparison.max_usd is None:
            why = "needs max_usd in the same table: nobody confirms the price when the service starts a comparison"
            problems.add(table, "schedule", why)
        validated.append(ValidatedRun(run, options, blocks, deployments, comparison))
    return validated


def build_run(path: Path, validated: ValidatedRun, accounts: tuple[Account, ...]) -> RunDefinition:
    """Build a run from tables without problems; `accounts` are all of the file."""
    values = explicit_options(validated.options)
    selectors = values.pop("accounts", [ALL_ACCOUNTS])
    options = RunOptions(**values)
    options_by_provider = {name: explicit_options(block) for name, block in validated.blocks.items()}
    files = {name: block.pop("tokenizer", None) for name, block in options_by_provider.items()}
    comparison = explicit_options(validated.comparison)
    gate, schedule = comparison.pop("gate", False), comparison.pop("schedule", None)
    pinning = frozenset(name for name, block in options_by_provider.items() if block.pop("pin_auto", False))
    return RunDefinition(
        options=replace(options, pin_auto=pinning, gate=gate),
        dataset=_resolve_path(path, options.dataset),
        validation_path=_resolve_path(path, options.validation) if options.validation else None,
        specs={
            name: TrainingSpec(**block, seed=options.seed if CAPABILITIES[name].seed else None, suffix=options.suffix)
            for name, block in options_by_provider.items()
        },
        accounts=tuple(account for account in accounts if _is_selected(selectors, account.name, account.labels)),
        tokenizers={name: _resolve_path(path, file) for name, file in files.items() if file},
        deployments={
            name: DeploymentSpec(**explicit_options(table)) for name, table in validated.deployments.items()
        },
        comparison=_build_comparison(path, comparison),
        comparison_schedule=schedule,
        is_entry=validated.document.is_entry,
    )


def _build_comparison(path: Path, options: dict[str, Any]) -> ComparisonSettings:
    if options.get("probes_file") is not None:
        options = {**options, "probes_file": str(_resolve_path(path, options["probes_file"]))}
    return ComparisonSettings(**options)


def explicit_options(table: Any) -> dict[str, Any]:
    """Return the options that the file contains, without defaults: those are in the core values."""
    assert table is not None  # a table is None only if it has problems, and those have been raised
    values: dict[str, Any] = table.model_dump(exclude_unset=True)
    return values


def list_run_warnings(
    runs: Iterable[tuple[RunDocument, RunDefinition]], accounts: Iterable[Account]
) -> Iterator[str]:
    """Yield warnings about blocks that are not used, providers without a seed, and accounts without a run."""
    runs = list(runs)
    for document, run in runs:
        used = {account.provider for account in run.accounts}
        selects = "no selected account has" if document.is_entry else "no account has"
        for name in run.specs:
            if name not in used:
                yield f"{_format_block(document, name)} is not used: {selects} this provider"
    for document, run in runs:
        for name in run.specs:
            if not CAPABILITIES[name].seed:
                yield (
                    f"{_format_block(document, name)} trains without a seed, because {name} does not support one: "
                    "its models may differ more from each other"
                )
    in_a_run = {account.name for _, run in runs for account in run.accounts}
    for account in accounts:
        if account.name not in in_a_run:
            yield f"account {account.name} is in no run: no [[runs]] entry selects it in `accounts`"


def _format_block(run: RunDocument, provider: ProviderName) -> str:
    return f"[runs.{provider}] of {run.options['name']}" if run.is_entry else f"[run.{provider}]"


def selects_account(run: RunDocument, entry: Options) -> bool:
    """Return whether a run selects an account, as far as the unvalidated tables tell."""
    selectors = run.options.get("accounts", [ALL_ACCOUNTS]) if run.is_entry else [ALL_ACCOUNTS]
    name = entry.get("name")
    return isinstance(selectors, list) and isinstance(name, str) and _is_selected(selectors, name, _labels(entry))


def format_deployment_table(run: RunDocument, provider: ProviderName) -> str:
    """Format the name of a deployment's table, for messages."""
    return f"[{run.table[0]}.{provider}.{DEPLOYMENT_TABLE}]"


def _set_names(tables: AccountsDocument, problems: ProblemCollector) -> None:
    """Use the names of the `[[runs]]` entries in messages, and report a name that two of them have."""
    first: dict[str, TablePath] = {}
    for run in tables.runs:
        name = run.options.get("name")
        if not run.is_entry or not is_account_name(name) or not isinstance(name, str):
            continue
        problems.set_name(run.table, name)
        if first.setdefault(name, run.table) != run.table:
            line = problems.find_line(first[name], "name")
            problems.add(run.table, "name", f"is already used in line {line}; give each run a unique name")


def _check_selectors(run: RunDocument, tables: AccountsDocument, problems: ProblemCollector) -> None:
    """Report selectors that match no account of the file."""
    selectors = run.options.get("accounts")
    if not isinstance(selectors, list):
        return
    if not selectors:
        why = 'selects no account; write names, "label:LABEL" or "*", or remove the line: the default is all accounts'
        problems.add(run.table, "accounts", why)
    names = [entry["name"] for entry in tables.accounts if isinstance(entry.get("name"), str)]
    labels = sorted({f"{LABEL_PREFIX}{label}" for entry in tables.accounts for label in _labels(entry)})
    for selector in selectors:
        if not isinstance(selector, str) or selector == ALL_ACCOUNTS or selector in names or selector in labels:
            continue
        is_label = selector.startswith(LABEL_PREFIX)
        close = format_suggestion(selector, labels if is_label else names)
        close = close or ('; write the name of an account, "label:LABEL" or "*"' if not is_label else "")
        what = "a label of an account" if is_label else "the name of an account"
        problems.add(run.table, "accounts", f'"{selector}" is not {what} in this file{close}')


def _check_blocks_of_accounts(run: RunDocument, tables: AccountsDocument, problems: ProblemCollector) -> None:
    """Report each provider of a selected account that has no block in the run."""
    selectors = run.options.get("accounts", [ALL_ACCOUNTS])
    if not isinstance(selectors, list):
        return
    missing: dict[str, str] = {}  # the first account of each provider
    for entry in tables.accounts:
        provider, name = entry.get("provider"), entry.get("name")
        if provider not in list(ProviderName) or provider in run.provider_blocks or not isinstance(name, str):
            continue
        if _is_selected(selectors, name, _labels(entry)):
            missing.setdefault(provider, name)
    for provider, name in missing.items():
        why = (
            f'has no block for account {name} ({provider}); add [runs.{provider}] with base_model = "…" below this '
            "run, or select other accounts with `accounts`"
        )
        problems.add(run.table, None, why)


def _is_selected(selectors: Iterable[object], name: str, labels: Iterable[str]) -> bool:
    names = {ALL_ACCOUNTS, name, *(f"{LABEL_PREFIX}{label}" for label in labels)}
    return any(selector in names for selector in selectors if isinstance(selector, str))


def _labels(entry: Options) -> list[str]:
    labels = entry.get("labels")
    return [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []


def _check_block(
    table: TablePath, provider: ProviderName, block: Mapping[str, Any], problems: ProblemCollector
) -> None:
    """Report the options that this provider lacks. Options that no provider has are reported by `validate_table`."""
    offers = CAPABILITIES[provider]
    for option in block:
        if option in SpecTable.model_fields and (why := unsupported_reason(provider, option)):
            problems.add(table, option, why)
    method = block.get("method")
    if method in get_args(Method) and method not in offers.methods:
        problems.add(table, "method", f"must be one of {', '.join(offers.methods)} at {provider}")


def _validate_deployment(
    table: TablePath, provider: ProviderName, options: dict[str, Any], problems: ProblemCollector
) -> DeploymentTable | None:
    """Return the validated options, or None after adding every problem, also of options that the provider lacks."""
    validated = validate_table(DeploymentTable, options, table, problems)
    if validated is None:
        return None
    faults = list(find_spec_problems(provider, DeploymentSpec(**explicit_options(validated))))
    for option, why in faults:
        problems.add(table, option, why)
    return None if faults else validated


def _check_tokenizer(path: Path, table: TablePath, block: Mapping[str, Any], problems: ProblemCollector) -> None:
    tokenizer = block.get("tokenizer")
    if not isinstance(tokenizer, str) or not _check_path(path, tokenizer, table, "tokenizer", problems):
        return
    if not _resolve_path(path, tokenizer).is_file():
        why = "is not a file; write the path of the tokenizer.json of the base model, or remove the line"
        problems.add(table, "tokenizer", why)


def _check_validation(path: Path, run: RunDocument, problems: ProblemCollector) -> None:
    """Report a validation set that is, or contains, the dataset."""
    options = run.options
    validation, dataset = options.get("validation"), options.get("dataset", RunOptions(name="").dataset)
    if not isinstance(validation, str) or not _check_path(path, validation, run.table, "validation", problems):
        return
    if options.get("validation_fraction"):
        why = "cannot be used together with validation_fraction; remove one of the two lines"
        problems.add(run.table, "validation", why)
    with suppress(ValueError, TypeError):  # a `dataset` that is no path is reported separately
        if _resolve_path(path, dataset).resolve().is_relative_to(_resolve_path(path, validation).resolve()):
            why = "is the dataset or contains it; name a file or folder with chats that are not used for training"
            problems.add(run.table, "validation", why)


def _check_moderation(run: RunDocument, tables: AccountsDocument, problems: ProblemCollector) -> None:
    names = [entry["name"] for entry in tables.accounts if isinstance(entry.get("name"), str)]
    moderation = run.options.get("moderation")
    if isinstance(moderation, str) and moderation not in names:
        close = format_suggestion(moderation, names) or "; write the name of one, or remove the line"
        problems.add(run.table, "moderation", f"is not the name of an account in this file{close}")
    if "moderation" in run.options and "moderation_waived" in run.options:
        problems.add(run.table, "moderation_waived", "contradicts moderation; keep one of the two")


def _check_path(path: Path, text: object, table: TablePath, option: str, problems: ProblemCollector) -> bool:
    """Return whether the value can be a path, after reporting one that cannot."""
    try:
        if isinstance(text, str):
            _resolve_path(path, text)
    except ValueError as error:
        problems.add(table, option, str(error))
        return False
    return True


def _resolve_path(path: Path, name: str) -> Path:
    return resolve_path(path.absolute().parent, name)
