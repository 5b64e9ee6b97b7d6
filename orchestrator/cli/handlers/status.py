"""Bodies of the read-only commands: plan, accounts, status and history."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
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
)
from orchestrator.cli.plan_table import print_plan_table
from orchestrator.cli.session import format_error
from orchestrator.cli.status_table import print_status
from orchestrator.cli.tables import Column, print_table
from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.plans.duplicate_accounts import list_shared_key_warnings, list_shared_project_warnings
from orchestrator.core.plans.plan import PlanStep
from orchestrator.core.structs import asdict, replace
from orchestrator.core.text import format_timestamp
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.app.accounts_file_applier import PlannedRun

NO_RUN_MESSAGE = "No run yet. Start one with `orchestrator run` or `orchestrator serve`."
NO_MATCH_MESSAGE = "No job of the run matches the filter."
NO_MATCH_IN_RUNS_MESSAGE = "No job of the runs matches the filter."
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
