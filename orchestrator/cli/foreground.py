"""Foreground runs: `upload`, `start` and `run` work in their own process and show the status while they do."""

# Theory of operation
#
# A foreground run is the same service that `serve` runs, without the web server and with an end. `run_foreground`
#
# 1. installs the signal handlers, before anything is sent;
# 2. starts the service: this checks the chats, builds the file and applies the accounts file;
# 3. waits for moderation, with a progress bar. The live table starts only afterwards, because two live displays on
#    one terminal overwrite each other;
# 4. prints the status again and again until `is_done` holds for every job, or until a signal arrives;
# 5. stops the service, in any case. Jobs at the providers continue: only `orchestrator cancel` cancels them.
#
# `is_done` differs by command: is_file_ready (`upload`), is_job_created (`start`), is_settled (`run`). All of them
# also hold for a job that cannot proceed without an operator, so that a held account does not block the command
# forever.

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.app.database import exclusive_database_lock
from orchestrator.cli import progress
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.output import format_failure, format_state
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, JobState
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.status import JobView, StatusSnapshot

if TYPE_CHECKING:
    from orchestrator.app import App

MIN_REFRESH_SECONDS = 0.5
REFRESH_PAUSE_FACTOR = 30  # reading the status of thousands of jobs takes time: at most 1/30 of the time goes into it
StopCondition = Callable[[JobView], bool]
StatusReader = Callable[[], Awaitable[StatusSnapshot]]


def is_settled(job: JobView) -> bool:
    """Return whether the job has its model, or changes no more without an operator. Used by `run`."""
    return job.settled


def is_file_ready(job: JobView) -> bool:
    """Return whether the account's file is ready, or the job is beyond that. Used by `upload`."""
    return job.settled or job.state in {JobState.READY} | AT_PROVIDER_STATES


def is_job_created(job: JobView) -> bool:
    """Return whether the provider has accepted the job. Used by `start`."""
    return job.settled or job.remote_job_id is not None


def install_stop_signals() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def run_foreground(app: App, *, start: bool, is_done: StopCondition, run: str | None = None) -> ExitCode:
    """Apply the accounts file and work until `is_done` holds for every job. Without `start` no job is created.

    With `run` it applies and follows only the run with this name. Raises DatabaseLocked if another process works with
    the same SQLite database.
    """
    with exclusive_database_lock(app.settings, app.database):
        return await _run_service(app, start=start, is_done=is_done, run=run)


async def _run_service(app: App, *, start: bool, is_done: StopCondition, run: str | None) -> ExitCode:
    stopping = install_stop_signals()
    service = app.create_service(start=start, run=run)
    if not await run_unless_stopped(service.start(), stopping):
        sys.stderr.write("Interrupted before anything was sent. Run the same command to start again.\n")
        return ExitCode.FAILED
    try:
        await _wait_for_moderation(app, stopping)
        status = await follow_status(app, is_done, stopping, run=run)
    finally:
        await service.stop()
    if stopping.is_set():
        sys.stderr.write(format_interruption(status, run=run) + "\n")
    for name, refusal in service.run_refusals.items():  # their log lines are above the status, or scrolled away
        sys.stderr.write(format_run_refusal(name, refusal) + "\n")
    return ExitCode.FAILED if service.run_refusals else exit_code_from_status(status, stopping)


async def _wait_for_moderation(app: App, stopping: asyncio.Event) -> None:
    """Wait until every run is moderated or needs an operator. Raises DatasetError if all runs have flagged texts."""
    with progress.moderation_progress() as report_progress:
        app.moderation_pool.on_progress = report_progress
        await run_unless_stopped(app.moderation_pool.wait(), stopping)
        app.moderation_pool.on_progress = None
    flagged = app.moderation_pool.flagged_errors
    if len(flagged) == app.moderation_pool.size:  # otherwise the other runs continue, and the log has the texts
        for error in flagged.values():
            raise error


async def run_unless_stopped(coroutine: Coroutine[Any, Any, None], stopping: asyncio.Event) -> bool:
    """Await a coroutine, and cancel it when `stopping` is set first. Returns whether it finished."""
    work, stop = asyncio.create_task(coroutine), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return False
        work.result()
        return True
    finally:
        for task in (work, stop):
            task.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)


def format_interruption(status: StatusSnapshot, *, run: str | None = None) -> str:
    """Describe what continues at the providers after an interruption, and how to proceed.

    `run` is the argument of --run. The accounts file may then describe other runs, which `status` does not have.
    """
    active = [job for job in status.jobs if job.state in AT_PROVIDER_STATES and job.state not in TERMINAL_STATES]
    proceed = "Run the same command to continue; no job is started twice."
    if not active:
        return f"Interrupted: no job is running at a provider. {proceed}"
    if len(active) == 1:
        rest, wanted = "1 job continues at its provider and is billed", "To cancel it"
    else:
        rest, wanted = f"{len(active):,} jobs continue at their providers and are billed", "To cancel all jobs"
    commands = _list_cancel_commands(status, active, run)
    return sanitize_line(f"Interrupted: {rest}. {proceed} {wanted}, first run {' and '.join(commands)}.")


def _list_cancel_commands(status: StatusSnapshot, active: Sequence[JobView], run: str | None) -> list[str]:
    """List a command for each run with active jobs. A run is named wherever there may be several."""
    names = {each.id: each.name for each in status.runs} if status.other_runs or run is not None else {}
    selected = [active[0].account] if len(active) == 1 else ["--all"]
    options = dict.fromkeys(("--run", names[job.run]) if job.run in names else () for job in active)
    return [f"`{shlex.join(['orchestrator', 'cancel', *selected, *option])}`" for option in options]


def format_run_refusal(name: str, refusal: ConfigRefusal) -> str:
    """Describe why a run, or its newest version, was not applied although the other runs were."""
    why = refusal.failure
    return sanitize_line(f"Run {name} was refused: {why.message.removesuffix('.')}. {why.hint}".rstrip())


def exit_code_from_status(status: StatusSnapshot, stopping: asyncio.Event) -> ExitCode:
    """Return FAILED if the run was interrupted, or if any job failed, was cancelled or is held."""
    unsuccessful = any(job.held or job.state in {JobState.FAILED, JobState.CANCELLED} for job in status.jobs)
    return ExitCode.FAILED if unsuccessful or stopping.is_set() else ExitCode.DONE


async def follow_status(
    app: App, is_done: StopCondition, stopping: asyncio.Event, *, run: str | None = None
) -> StatusSnapshot:
    """Show the status until `is_done` holds for every job: as a live table on a terminal, otherwise as lines."""
    read_status = partial(app.read_status, run)
    if sys.stdout.isatty():
        from orchestrator.cli.live_view import live_status  # lazy: rich takes 4 MB, which a service does not need

        with live_status(transient=True) as draw:
            status = await watch_status(read_status, draw, is_done, stopping)
    else:
        status = await print_changes(read_status, is_done, stopping)
    from orchestrator.cli.status_table import print_status  # lazy: rich

    print_status(status)
    return status


async def print_changes(
    read_status: StatusReader, is_done: StopCondition | None, stopping: asyncio.Event
) -> StatusSnapshot:
    """Print a line for each job, and one more whenever it changes. Ends as `watch_status` does."""
    printed: dict[tuple[str, str], str] = {}  # the latest line of each run and account

    def print_changed_lines(status: StatusSnapshot) -> None:
        names = {run.id: run.name for run in status.runs} if status.other_runs else {}
        for job in status.jobs:
            run = names.get(job.run)  # with a single run it is not worth a word in every line
            parts = (run, job.account, format_state(job), job.fine_tuned_model, format_failure(job.error))
            key, line = (job.run, job.account), " ".join(filter(None, parts))
            if job.error and job.error.kind == HoldKind.MODERATING:  # the same brief hold in every account: one line
                key, line = (job.run, ""), " ".join(filter(None, (run, "moderating the chats")))
            if printed.get(key) != line:
                printed[key] = line
                sys.stdout.write(sanitize_line(line) + "\n")
        sys.stdout.flush()

    return await watch_status(read_status, print_changed_lines, is_done, stopping)


async def watch_status(
    read_status: StatusReader,
    draw: Callable[[StatusSnapshot], None],
    is_done: StopCondition | None,
    stopping: asyncio.Event,
) -> StatusSnapshot:
    """Read and draw the status repeatedly until `is_done` holds for every job or `stopping` is set; return the last.

    Without `is_done` only `stopping` ends it.
    """
    clock = asyncio.get_running_loop()
    while True:
        begin = clock.time()
        status = await read_status()
        draw(status)
        pause = max(MIN_REFRESH_SECONDS, REFRESH_PAUSE_FACTOR * (clock.time() - begin))
        if stopping.is_set() or (is_done and status.run and all(is_done(job) for job in status.jobs)):
            return status
        del status  # thousands of jobs: free them before the next snapshot is read
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            continue
