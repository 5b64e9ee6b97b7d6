"""Bodies of the read-only commands: plan, accounts, status, models and history."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import status as read
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.foreground import StatusReader, install_stop_signals, print_changes, watch_status
from orchestrator.cli.output import (
    format_failure,
    format_refusal,
    format_state,
    plan_to_json,
    print_json,
    write_text,
)
from orchestrator.cli.plan_table import print_plan_table
from orchestrator.cli.session import format_error
from orchestrator.cli.status_table import print_checkpoints_table, print_models_table, print_status
from orchestrator.cli.tables import Column, print_table
from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import ConfigError, Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.checkpoint import BEST_CHECKPOINT, find_checkpoint
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.plans.duplicate_accounts import list_shared_key_warnings, list_shared_project_warnings
from orchestrator.core.plans.plan import PlanStep
from orchestrator.core.structs import asdict, replace
from orchestrator.core.text import format_timestamp
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.exports import ExportFormat, ModelSet, export, left_out_reason, select_checkpoints, select_models

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.app.accounts_file_applier import PlannedRun

NO_RUN_MESSAGE = "No run yet. Start one with `orchestrator run` or `orchestrator serve`."
NO_CHECKPOINTS_MESSAGE = (
    "No checkpoints. They are read when a job succeeds, where the provider keeps them (docs/providers.md)."
)
NO_MATCH_MESSAGE = "No job of the run matches the filter."
NO_MATCH_IN_RUNS_MESSAGE = "No job of the runs matches the filter."
NAMED_FORMATS = frozenset({ExportFormat.LITELLM, ExportFormat.SILLYTAVERN})  # those whose entries have the run's name
ACCOUNT_COLUMNS = (
    Column(heading="account"),
    Column(heading="provider", importance=2),
    Column(heading="organization", importance=3),
    Column(heading="key", importance=1),
    Column(heading="state", wraps=True),
)
EVENT_COLUMNS = (
    Column(heading="time"),
    Column(heading="cause", importance=1),
    Column(heading="event"),
    Column(heading="state", importance=2),
    Column(heading="remote job"),
    Column(heading="message", wraps=True),
)


async def print_plan(app: App, *, as_json: bool, wide: bool = False, run: str | None = None) -> ExitCode:
    """Print the plan of the run with this name, or of every run of the accounts file.

    Returns FAILED if a run or an account would be held, or if a run cannot be planned.
    """
    planned = await app.build_plans(run)
    if not planned.runs:
        raise next(iter(planned.refusals.values()))
    warnings = planned.inputs.warnings
    if as_json:
        documents = [plan_to_json(each.plan, warnings) for each in planned.runs]
        has_several = planned.inputs.accounts_file.has_several_runs and run is None
        print_json({"runs": documents} if has_several else documents[0])
    else:
        for number, each in enumerate(planned.runs):
            sys.stdout.write("\n" if number else "")
            _print_planned_run(each, wide=wide)
        for warning in warnings:
            sys.stdout.write(f"warning: {sanitize_line(warning)}\n")
    for name, error in planned.refusals.items():
        sys.stderr.write(f"run {name}: {format_error(error)}\n")
    is_held = any(each.plan.holds or each.plan.count(PlanStep.HELD) for each in planned.runs)
    return ExitCode.FAILED if is_held or planned.refusals else ExitCode.DONE


def _print_planned_run(planned: PlannedRun, *, wide: bool) -> None:
    plan = planned.plan
    print_plan_table(plan, wide=wide)
    for finding in planned.desired.findings:
        sys.stdout.write(sanitize_line(f"{finding.file}: {finding.message}") + "\n")
    for warning in plan.warnings:
        sys.stdout.write(f"warning: {sanitize_line(warning)}\n")
    for hold in plan.holds:
        sys.stdout.write(f"Run {sanitize_line(plan.name)} would be held: {format_failure(hold.failure)}\n")


async def print_run_status(
    app: App, job_filter: JobFilter, *, as_json: bool, watch: bool, wide: bool = False, run: str | None = None
) -> ExitCode:
    """Print the matching jobs of all current runs, or of one; with `watch`, follow them until interrupted."""

    async def read_status() -> read.StatusSnapshot:
        return await read_matching_status(app, job_filter, run)

    if watch and not as_json and not app.is_empty:
        await _watch(read_status)
        return ExitCode.DONE
    snapshot = await read_status()
    if as_json:
        print_json(read.status_to_dict(snapshot))
        return ExitCode.DONE
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in format_refusal(snapshot, width):
        sys.stdout.write(line + "\n")
    if snapshot.run is None:
        sys.stdout.write(NO_RUN_MESSAGE + "\n")
    else:
        _print_runs(snapshot, job_filter, wide=wide)
    return ExitCode.DONE


def _print_runs(snapshot: read.StatusSnapshot, job_filter: JobFilter, *, wide: bool) -> None:
    """Print holds, warnings and the table of each run, and the counts of all of them if there are several."""
    for run in snapshot.runs:
        for hold in run.holds:
            if hold.kind == HoldKind.MODERATING and not (run.moderation or {})["reason"]:
                continue  # the title of the table shows the progress of moderation
            sys.stdout.write(f"Run {sanitize_line(run.name)} is held: {format_failure(hold)}\n")
    for warning in dict.fromkeys(warning for run in snapshot.runs for warning in run.warnings):
        sys.stdout.write(f"warning: {sanitize_line(warning)}\n")
    if not snapshot.jobs and job_filter.is_narrowing:
        sys.stdout.write((NO_MATCH_IN_RUNS_MESSAGE if snapshot.other_runs else NO_MATCH_MESSAGE) + "\n")
        return
    print_status(snapshot, wide=wide)


async def _watch(read_status: StatusReader) -> None:
    """Show a live view on a terminal, and append the changes in a pipe, until SIGINT or SIGTERM."""
    stopping = install_stop_signals()
    if not sys.stdout.isatty():
        await print_changes(read_status, None, stopping)
        return
    from orchestrator.cli.live_view import live_status  # lazy: imports Rich, which a pipe does not need

    with live_status() as draw:
        await watch_status(read_status, draw, None, stopping)


async def read_matching_status(app: App, job_filter: JobFilter, run: str | None = None) -> read.StatusSnapshot:
    """Return the snapshot of the current runs, or of one of them, with those jobs only that match.

    The counts are those of these jobs.
    """
    snapshot = await app.read_status(run)
    if snapshot.run is None or not job_filter.is_narrowing:
        return snapshot
    ids = set()
    for part in snapshot.runs:
        limit = len(snapshot.jobs) + 1
        if listing := await read.list_jobs(app.database, job_filter, snapshot.at, run_id=part.id, limit=limit):
            ids |= {job.job for job in listing.jobs}
    jobs = tuple(job for job in snapshot.jobs if job.job in ids)
    return replace(snapshot, jobs=jobs, counts=dict(sorted(Counter(map(format_state, jobs)).items())))


async def verify_accounts(app: App, *, as_json: bool, wide: bool = False) -> ExitCode:
    """Verify each account with its provider and print the result. Returns FAILED if any account is not usable."""
    file, keys = await app.loader.load_accounts()
    fingerprints = {name: key.fingerprint for name, key in keys.by_account.items()}
    results = {
        **await app.connections.verify_accounts(file.accounts),
        **{name: hold.failure for name, hold in keys.missing.items()},
    }
    states = await app.get_account_states()
    rows = [
        _account_to_json(account, results[account.name], states.get(account.name), fingerprints.get(account.name))
        for account in file.accounts
    ]
    if as_json:
        print_json(rows)
    else:
        _print_account_table(rows, wide=wide)
    identities = {name: result for name, result in results.items() if isinstance(result, AccountIdentity)}
    for warning in (
        *list_shared_key_warnings(file.accounts, fingerprints),
        *list_shared_project_warnings(file.accounts, identities, fingerprints),
    ):
        sys.stderr.write(f"warning: {sanitize_line(warning)}\n")  # stderr: the JSON on stdout is a list of accounts
    return ExitCode.DONE if all(row["fine"] for row in rows) else ExitCode.FAILED


def _account_to_json(
    account: Account, result: AccountIdentity | Failure, state: AccountState | None, fingerprint: str | None
) -> dict[str, Any]:
    hold = state.hold if state else None
    if hold and hold.kind == HoldKind.KEY_MISSING:  # as the service last read it; `result` is newer
        hold = None
    error = result if isinstance(result, Failure) else hold and hold.failure
    return {
        "account": account.name,
        "provider": account.provider,
        "organization": None if isinstance(result, Failure) else result.organization,
        "key": fingerprint,
        "fine": error is None,
        "error": asdict(error) if error else None,
    }


def _print_account_table(rows: Sequence[Mapping[str, Any]], *, wide: bool) -> None:
    lines = [
        (
            row["account"],
            row["provider"],
            row["organization"] or "–",
            row["key"] or "–",
            format_failure(Failure(**row["error"])) if row["error"] else "ok",
        )
        for row in rows
    ]
    print_table(ACCOUNT_COLUMNS, lines, wide=wide)


async def print_events(app: App, account: str, *, as_json: bool, wide: bool = False) -> ExitCode:
    """Print the events of an account, oldest first."""
    events = await app.list_events(account)
    if as_json:
        print_json([asdict(event) | {"at": read.format_iso(event.at)} for event in events])
        return ExitCode.DONE
    rows = [
        (
            format_timestamp(event.at),
            event.cause,
            event.note,
            event.state_after or "",
            event.remote_job_id or "",
            event.message or "",
        )
        for event in events
    ]
    print_table(EVENT_COLUMNS, rows, wide=wide)
    return ExitCode.DONE


async def print_models(
    app: App,
    output_format: ExportFormat,
    *,
    output: Path | None,
    labels: Sequence[str],
    providers: Sequence[str],
    everything: bool,
    name: str | None,
    wide: bool = False,
    run: str | None = None,
    checkpoint: str | None = None,
) -> ExitCode:
    """Print or write the selected models of all current runs or of one. Returns FAILED if any of them is missing.

    Raises ConfigError when no current run has the name, when one model group would have models of several runs, for
    a name in a format without one, and for a checkpoint that no model can have.
    """
    _validate_name(name, output_format)
    snapshot = _close_gates(await app.read_status(run), await app.loader.read_gates())
    if snapshot.run is None and output_format is ExportFormat.TABLE:
        sys.stdout.write(NO_RUN_MESSAGE + "\n")
        return ExitCode.FAILED
    accounts = await app.loader.load_listed_accounts() if output_format.needs_accounts else {}
    selection = select_models(
        name or (snapshot.run.name if snapshot.run else ""),
        snapshot.jobs,
        accounts,
        labels=labels,
        providers=providers,
        run_names=_get_run_names(snapshot, name),
    )
    if not selection.jobs and _print_no_match(labels, providers) and output_format is ExportFormat.TABLE:
        return ExitCode.FAILED
    if checkpoint is not None:
        _validate_checkpoint(selection, checkpoint)
        selection = select_checkpoints(selection, checkpoint)
    exported = export(output_format, selection, include_unservable=everything)
    if output_format is ExportFormat.TABLE and output is None:
        print_models_table(exported.models, wide=wide)
    else:
        write_text(exported.text, output)
    _print_omitted(exported.models)
    is_complete = _has_every_model(selection, checkpoint) and not exported.models.gate_obstacles
    return ExitCode.DONE if is_complete else ExitCode.FAILED


def _validate_name(name: str | None, output_format: ExportFormat) -> None:
    if name is not None and output_format not in NAMED_FORMATS:
        raise ConfigError(
            f"--name is not used with --format {output_format}, which contains no model group",
            hint="Omit --name, or use it with --format litellm or --format sillytavern.",
        )


def _has_every_model(models: ModelSet, checkpoint: str | None) -> bool:
    """Return whether there are models, each finished and, with `checkpoint`, with that checkpoint."""
    is_missing = [
        job.state != JobState.SUCCEEDED or (checkpoint is not None and not job.fine_tuned_model)
        for job in models.jobs
    ]
    return bool(is_missing) and not any(is_missing)


def _print_no_match(labels: Sequence[str], providers: Sequence[str]) -> bool:
    """Print to stderr that no account matches the filters. Returns whether there is a filter."""
    options = [f"--label {label}" for label in labels] + [f"--provider {provider}" for provider in providers]
    if options:
        sys.stderr.write(sanitize_line(f"No account matches {' '.join(options)}.") + "\n")
    return bool(options)


def _validate_checkpoint(models: ModelSet, choice: str) -> None:
    """Raise ConfigError unless it is "best", a number from 1 or the id of a checkpoint of one of the models.

    A number or "best" without a checkpoint is no error: the models may still be in training.
    """
    if choice == BEST_CHECKPOINT or (choice.isascii() and choice.isdigit() and not choice.startswith("0")):
        return
    if not any(find_checkpoint(job.checkpoints, choice) for job in models.jobs):
        raise ConfigError(
            f"--checkpoint {choice}: no model has a checkpoint with this number or id",
            hint='Use a number from 1, "best" or the id of a checkpoint; '
            "`orchestrator models --checkpoints` lists them.",
        )


def _print_omitted(models: ModelSet) -> None:
    """Print the accounts without an exported model to stderr, with the reason."""
    for job in models.omitted:
        prefix = f"{models.get_run_name(job)}: " if models.has_several_runs else ""
        sys.stderr.write(sanitize_line(f"Omitted: {prefix}{job.account}: {left_out_reason(job)}") + "\n")


def _close_gates(snapshot: read.StatusSnapshot, gates: Mapping[str, bool]) -> read.StatusSnapshot:
    """Apply the gates that the accounts file has turned on, and that the service has not read yet."""
    gated = {run.id for run in snapshot.runs if gates.get(run.name)}
    jobs = tuple(replace(job, gated=True) if job.run in gated else job for job in snapshot.jobs)
    return replace(snapshot, jobs=jobs)


async def print_checkpoints(
    app: App, *, labels: Sequence[str], providers: Sequence[str], wide: bool = False, run: str | None = None
) -> ExitCode:
    """Print the checkpoints of the selected models with their losses. Returns FAILED if there are none."""
    snapshot = await app.read_status(run)
    name = snapshot.run.name if snapshot.run else ""
    run_names = _get_run_names(snapshot, None)
    selection = select_models(name, snapshot.jobs, {}, labels=labels, providers=providers, run_names=run_names)
    if not selection.jobs and _print_no_match(labels, providers):
        return ExitCode.FAILED
    if not any(job.checkpoints for job in selection.jobs):
        sys.stdout.write(NO_CHECKPOINTS_MESSAGE + "\n")
        return ExitCode.FAILED
    print_checkpoints_table(selection, wide=wide)
    return ExitCode.DONE


def _get_run_names(snapshot: read.StatusSnapshot, group: str | None) -> dict[str, str]:
    """Return the names of several runs by id, nothing for a single run.

    Raises ConfigError if all of them would have the same model group.
    """
    if not snapshot.other_runs:
        return {}
    if group:
        raise ConfigError(
            "--name sets the name of one model group, and there are several runs",
            hint="Choose a run with --run NAME, or omit --name: each run has a group of its own name.",
        )
    return {run.id: run.name for run in snapshot.runs}
