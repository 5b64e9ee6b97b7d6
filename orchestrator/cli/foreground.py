"""Follow: do the work in the foreground and show it, as a live table or as plain lines."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from orchestrator.cli import progress
from orchestrator.cli.output import format_failure, format_state, print_status
from orchestrator.cli.session import EXIT_DONE, EXIT_FAILED
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, JobState
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.status import JobView, StatusSnapshot

if TYPE_CHECKING:
    from orchestrator.app import App

MIN_REFRESH_SECONDS = 0.5
REFRESH_PAUSE_FACTOR = 30  # a look at thousands of accounts takes its time: at most a thirtieth goes into looking
StopCondition = Callable[[JobView], bool]


def is_settled(job: JobView) -> bool:
    """For `run`: the account has its model, or will not get it by itself."""
    return job.settled


def is_file_ready(job: JobView) -> bool:
    """For `upload`: the file is ready, or the account is further."""
    return job.settled or job.state in {JobState.READY} | AT_PROVIDER_STATES


def is_job_created(job: JobView) -> bool:
    """For `start`: the provider has the job."""
    return job.settled or job.remote_job_id is not None


def install_stop_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def run_foreground(app: App, *, start: bool, is_done: StopCondition) -> int:
    """Converge and work until it is enough for every account; say how it went."""
    stopping = install_stop_signals()
    service = app.create_service(start=start)
    if not await run_unless_stopped(service.start(), stopping):
        sys.stderr.write("stopped before anything was sent; the same command begins again\n")
        return EXIT_FAILED
    try:
        with progress.moderation_progress() as tell:
            app.moderation_worker.on_progress = tell
            await run_unless_stopped(
                app.moderation_worker.wait(), stopping
            )  # a bar and a live table do not share a terminal
            app.moderation_worker.on_progress = None
        if app.moderation_worker.flagged_error is not None:
            raise app.moderation_worker.flagged_error
        status = await follow_status(app, is_done, stopping)
    finally:
        await service.stop()
    if stopping.is_set():
        sys.stderr.write(format_interruption(status) + "\n")
    return exit_code_from_status(status, stopping)


async def run_unless_stopped(coroutine: Coroutine[Any, Any, None], stopping: asyncio.Event) -> bool:
    """Wait for work that may take long, the service's start for one; False when asked to stop before."""
    starting, asked = asyncio.create_task(coroutine), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((starting, asked), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return False
        starting.result()
        return True
    finally:
        for task in (starting, asked):
            task.cancel()
        await asyncio.gather(starting, asked, return_exceptions=True)


def format_interruption(status: StatusSnapshot) -> str:
    """What goes on without this process, and how to continue."""
    there = sum(job.state in AT_PROVIDER_STATES and job.state not in TERMINAL_STATES for job in status.jobs)
    if there:
        jobs = "1 job goes" if there == 1 else f"{there:,} jobs go"
        goes_on = f"{jobs} on at the provider and costs what it costs; `orchestrator cancel` ends it"
        if there > 1:
            goes_on = f"{jobs} on at the providers and cost what they cost; `orchestrator cancel` ends them"
    else:
        goes_on = "nothing goes on at a provider"
    return f"stopped: {goes_on}. The same command continues where it stopped, and starts no job twice."


def exit_code_from_status(status: StatusSnapshot, stopping: asyncio.Event) -> int:
    """The exit code: interrupted, or an account that failed, was cancelled or is held, is a failure."""
    bad = [job for job in status.jobs if job.held or job.state in {JobState.FAILED, JobState.CANCELLED}]
    return EXIT_FAILED if bad or stopping.is_set() else EXIT_DONE


async def follow_status(app: App, is_done: StopCondition, stopping: asyncio.Event) -> StatusSnapshot:
    """Show the work, live on a terminal and line by line elsewhere, until it is enough."""
    if not sys.stdout.isatty():
        return await _print_changes(app, is_done, stopping)
    from orchestrator.cli import tables  # 2 MB and 25 ms that lines can do without

    with tables.live_status() as draw:
        return await watch_status(app, draw, is_done, stopping)


async def _print_changes(app: App, is_done: StopCondition, stopping: asyncio.Event) -> StatusSnapshot:
    seen: dict[str, str] = {}

    def tell(status: StatusSnapshot) -> None:
        for job in status.jobs:
            parts = (job.account, format_state(job), job.fine_tuned_model, format_failure(job.error))
            account, line = job.account, sanitize_line(" ".join(filter(None, parts)))
            if job.error and job.error.kind == HoldKind.MODERATING:  # every account waits for the same, and briefly
                account, line = "", "moderating the chats"
            if seen.get(account) != line:
                seen[account] = line
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    status = await watch_status(app, tell, is_done, stopping)
    print_status(status)
    return status


async def watch_status(
    app: App, draw: Callable[[StatusSnapshot], None], is_done: StopCondition | None, stopping: asyncio.Event
) -> StatusSnapshot:
    """Show the status again and again until it is enough for every account, or until asked to stop."""
    clock = asyncio.get_running_loop()
    while True:
        begin = clock.time()
        status = await app.read_status()
        draw(status)
        pause = max(MIN_REFRESH_SECONDS, REFRESH_PAUSE_FACTOR * (clock.time() - begin))
        if stopping.is_set() or (is_done and status.run and all(is_done(job) for job in status.jobs)):
            return status
        del status  # of thousands of jobs: the next one needs the room
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            continue
