"""Follow: do the work in the foreground and show it, as a live table or as plain lines."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from orchestrator.cli import progress
from orchestrator.cli.render import print_status, state_of, trouble
from orchestrator.cli.session import DONE, FAILED
from orchestrator.core.hold import HoldKind
from orchestrator.core.lifecycle import AT_PROVIDER, ENDS, State
from orchestrator.core.printable import printable
from orchestrator.status import JobView, Status

if TYPE_CHECKING:
    from orchestrator.app import App

LOOK_SECONDS = 0.5
LOOK_SHARE = 30  # a look at thousands of accounts takes its time: at most a thirtieth goes into looking
Enough = Callable[[JobView], bool]


def ended(job: JobView) -> bool:
    """For `run`: the account has its model, or will not get it by itself."""
    return job.settled


def file_ready(job: JobView) -> bool:
    """For `upload`: the file is ready, or the account is further."""
    return job.settled or job.state in {State.READY} | AT_PROVIDER


def job_there(job: JobView) -> bool:
    """For `start`: the provider has the job."""
    return job.settled or job.remote_job_id is not None


def stop_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def work(app: App, *, start: bool, enough: Enough) -> int:
    """Converge and work until it is enough for every account; say how it went."""
    stopping = stop_signals()
    service = app.service(start=start)
    if not await begun(service.start(), stopping):
        sys.stderr.write("stopped before anything was sent; the same command begins again\n")
        return FAILED
    try:
        with progress.moderating() as tell:
            app.moderation.tell = tell
            await begun(app.moderation.wait(), stopping)  # a bar and a live table do not share a terminal
            app.moderation.tell = None
        if app.moderation.flagged is not None:
            raise app.moderation.flagged
        status = await show(app, enough, stopping)
    finally:
        await service.stop()
    if stopping.is_set():
        sys.stderr.write(interrupted(status) + "\n")
    return verdict(status, stopping)


async def begun(work: Coroutine[Any, Any, None], stopping: asyncio.Event) -> bool:
    """Wait for work that may take long, the service's start for one; False when asked to stop before."""
    starting, asked = asyncio.create_task(work), asyncio.create_task(stopping.wait())
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


def interrupted(status: Status) -> str:
    """What goes on without this process, and how to continue."""
    there = sum(job.state in AT_PROVIDER and job.state not in ENDS for job in status.jobs)
    if there:
        jobs = "1 job goes" if there == 1 else f"{there:,} jobs go"
        goes_on = f"{jobs} on at the provider and costs what it costs; `orchestrator cancel` ends it"
        if there > 1:
            goes_on = f"{jobs} on at the providers and cost what they cost; `orchestrator cancel` ends them"
    else:
        goes_on = "nothing goes on at a provider"
    return f"stopped: {goes_on}. The same command continues where it stopped, and starts no job twice."


def verdict(status: Status, stopping: asyncio.Event) -> int:
    """The exit code: interrupted, or an account that failed, was cancelled or is held, is a failure."""
    bad = [job for job in status.jobs if job.held or job.state in {State.FAILED, State.CANCELLED}]
    return FAILED if bad or stopping.is_set() else DONE


async def show(app: App, enough: Enough, stopping: asyncio.Event) -> Status:
    """Show the work, live on a terminal and line by line elsewhere, until it is enough."""
    if not sys.stdout.isatty():
        return await _lines(app, enough, stopping)
    from orchestrator.cli import tables  # 2 MB and 25 ms that lines can do without

    with tables.live() as draw:
        return await watch(app, draw, enough, stopping)


async def _lines(app: App, enough: Enough, stopping: asyncio.Event) -> Status:
    seen: dict[str, str] = {}

    def tell(status: Status) -> None:
        for job in status.jobs:
            parts = (job.account, state_of(job), job.fine_tuned_model, trouble(job.error))
            account, line = job.account, printable(" ".join(filter(None, parts)))
            if job.error and job.error.kind == HoldKind.MODERATING:  # every account waits for the same, and briefly
                account, line = "", "moderating the chats"
            if seen.get(account) != line:
                seen[account] = line
                sys.stdout.write(line + "\n")
        sys.stdout.flush()

    status = await watch(app, tell, enough, stopping)
    print_status(status)
    return status


async def watch(app: App, show: Callable[[Status], None], enough: Enough | None, stopping: asyncio.Event) -> Status:
    """Show the status again and again until it is enough for every account, or until asked to stop."""
    clock = asyncio.get_running_loop()
    while True:
        begin = clock.time()
        status = await app.look()
        show(status)
        pause = max(LOOK_SECONDS, LOOK_SHARE * (clock.time() - begin))
        if stopping.is_set() or (enough and status.run and all(enough(job) for job in status.jobs)):
            return status
        del status  # of thousands of jobs: the next one needs the room
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            continue
