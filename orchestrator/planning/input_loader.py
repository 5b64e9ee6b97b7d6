"""Loads what the operator wants: the accounts file, the keys that it references, and the datasets of its runs."""

# Theory of operation
#
# The accounts file, the keys and the other secrets are read once. An error in them concerns every run, and is raised.
#
# Each run has its own dataset. Where the file describes several runs, an error of one of them is recorded as the
# refusal of that run, because it must not stop the others. Where the file describes one run, the error is raised.
#
# The datasets are built one after the other, because each build may use all of the memory that builds are allowed to
# use. Runs that train the same chats by the same rules (with other options, or in other accounts) share one build.
# The keys are resolved while the first child process builds.

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from orchestrator.control import ListedAccount
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.plans.duplicate_accounts import list_shared_key_warnings
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import Struct
from orchestrator.dataset.build_process import BuildProcess
from orchestrator.dataset.read.source_files import DatasetPaths
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import BuildResult
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.inputs.accounts_file.targets import list_proxy_references, list_secret_references
from orchestrator.inputs.prices import PriceList, load_prices
from orchestrator.inputs.retirements import RetirementList, load_retirements
from orchestrator.inputs.secrets.references import AccountKeys, resolve_account_keys, resolve_secrets
from orchestrator.planning.dataset_rules import build_dataset_rules
from orchestrator.planning.desired_state import (
    DesiredState,
    find_published_retirements,
    list_accounts_with_keys,
    list_price_file_quotes,
)
from orchestrator.system.child_processes import ChildProcesses

BeforeRead = Callable[[str, DatasetPaths], None]
"""Called with the name of a run and the paths of its chats, before they are read."""


class LoadedInputs(Struct, frozen=True, kw_only=True):
    """The accounts file with its keys and secrets, and the desired state of each run that can be used."""

    accounts_file: AccountsFile
    keys: AccountKeys
    secrets: Mapping[str, Secret]  # of webhooks, alerts and proxies, by the references of the accounts file
    runs: tuple[DesiredState, ...]  # of the requested runs, in the order of the file
    refusals: Mapping[str, OrchestratorError]  # requested runs that cannot be used, by name

    @property
    def listed_accounts(self) -> list[ListedAccount]:
        """All accounts of the file, each with the fingerprint of its key or the hold for its missing key."""
        return list_accounts_with_keys(self.accounts_file, self.keys)

    @property
    def warnings(self) -> list[str]:
        """The warnings about the accounts file, and about keys that several accounts share."""
        fingerprints = {name: key.fingerprint for name, key in self.keys.by_account.items()}
        shared_keys = list_shared_key_warnings(self.accounts_file.accounts, fingerprints)
        return list(dict.fromkeys([*self.accounts_file.warnings, *shared_keys]))


class _Build(Struct):
    """One build of a dataset, for the runs that share it."""

    dataset: Path
    rules: DatasetRules
    runs: list[str]
    outcome: BuildResult | OrchestratorError | None = None  # None until the build has ended


class _SharedInputs(Struct, frozen=True):
    """What all runs use."""

    keys: AccountKeys
    secrets: Mapping[str, Secret]
    prices: PriceList
    retirements: RetirementList


def load_inputs(
    accounts_file: Path,
    datasets: Path,
    redact: Redactor,
    *,
    only: Collection[str] | None = None,
    prices_file: Path | None = None,
    retirements_file: Path | None = None,
    memory: int | None = None,
    children: ChildProcesses | None = None,
    before_read: BeforeRead = lambda _run, _paths: None,
) -> LoadedInputs:
    """Load the accounts file, the keys, and the runs named in `only` (None: all). Slow, so call it in a thread.

    Writes the canonical JSONL into `datasets`. `memory` limits the process that reads the chats, in bytes. `children`
    ends the child processes when the program stops. Raises ConfigError, also for an unknown name in `only`. A
    ConfigError or DatasetError of one run is raised if the file describes no other run, and is a refusal otherwise.
    """
    file = load_accounts_file(accounts_file)
    runs = file.runs if only is None else tuple(file.get_run(name) for name in only)
    is_only_run = len(file.runs) == 1
    builds, refusals = _list_builds(runs, is_only_run=is_only_run)
    for run in runs:
        before_read(run.options.name, run.chat_paths)

    def resolve_shared_inputs() -> _SharedInputs:
        return _SharedInputs(
            _resolve_keys(file, redact, children),
            _resolve_other_secrets(file, redact, children),
            load_prices(prices_file),
            load_retirements(retirements_file),
        )

    shared: _SharedInputs | None = None
    for build in builds:
        with BuildProcess(build.dataset, datasets, build.rules, memory_bytes=memory, children=children) as process:
            shared = shared or resolve_shared_inputs()
            build.outcome = _get_outcome(process, is_only_run=is_only_run)
    return _collect_inputs(file, runs, builds, refusals, shared or resolve_shared_inputs())


def _get_outcome(process: BuildProcess, *, is_only_run: bool) -> BuildResult | OrchestratorError:
    """Return the result of the build or its error; raise the error if there is no other run."""
    try:
        return process.result()
    except OrchestratorError as error:
        if is_only_run:
            raise
        return error


def _collect_inputs(
    file: AccountsFile,
    runs: Sequence[RunDefinition],
    builds: Sequence[_Build],
    refusals: Mapping[str, OrchestratorError],
    shared: _SharedInputs,
) -> LoadedInputs:
    outcomes = {name: build.outcome for build in builds for name in build.runs}
    failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, OrchestratorError)}
    return LoadedInputs(
        accounts_file=file,
        keys=shared.keys,
        secrets=shared.secrets,
        runs=tuple(
            _build_desired_state(file, run, built, shared)
            for run in runs
            if isinstance(built := outcomes.get(run.options.name), BuildResult)
        ),
        refusals={**refusals, **failed},
    )


def _list_builds(
    runs: Sequence[RunDefinition], *, is_only_run: bool
) -> tuple[list[_Build], dict[str, OrchestratorError]]:
    """Return the builds that the runs need, and the refusals of runs that no dataset can satisfy."""
    builds: list[_Build] = []
    refusals: dict[str, OrchestratorError] = {}
    for run in runs:
        try:
            rules = build_dataset_rules(run)
        except OrchestratorError as error:
            if is_only_run:
                raise
            refusals[run.options.name] = error
            continue
        for build in builds:
            if (build.dataset, build.rules) == (run.dataset, rules):
                build.runs.append(run.options.name)
                break
        else:
            builds.append(_Build(run.dataset, rules, [run.options.name]))
    return builds, refusals


def _build_desired_state(
    file: AccountsFile, run: RunDefinition, built: BuildResult, shared: _SharedInputs
) -> DesiredState:
    return DesiredState(
        accounts_file=file,
        run=run,
        keys=shared.keys,
        dataset=built.dataset,
        findings=built.check_result.findings,
        counts=built.check_result.counts,
        prices=list_price_file_quotes(run, shared.prices, built.tokens),
        retirements=find_published_retirements(shared.retirements, run.specs),
    )


def _resolve_keys(file: AccountsFile, redact: Redactor, children: ChildProcesses | None) -> AccountKeys:
    return resolve_account_keys(
        file.accounts,
        base_folder=file.folder,
        redact=redact,
        hidden_variables=file.key_variables,
        children=children,
    )


def _resolve_other_secrets(
    file: AccountsFile, redact: Redactor, children: ChildProcesses | None
) -> Mapping[str, Secret]:
    """Return the secrets of webhooks, alerts and proxies, by reference. Raises ConfigError."""
    references = [*list_secret_references(file.accounts, file.targets), *list_proxy_references(file.accounts)]
    return resolve_secrets(
        references,
        base_folder=file.folder,
        redact=redact,
        hidden_variables=file.key_variables,
        children=children,
    )
