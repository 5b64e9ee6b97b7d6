"""The body of the command `logs`: the events of one account, as lines that can be followed."""

# Theory of operation
#
# On a terminal an event is a line with its time, what happened and the change of the job's state, and below it the
# details that differ from those of the event before. A detail is never cut or wrapped, because an id is copied; only
# a message is wrapped, between words. In a pipe, an event is one line with all of its details, so that `grep` finds
# an event as a whole.
#
# `--follow` queries the database again every FOLLOW_SECONDS for events with larger ids. Write transactions are
# serialised, so that no event with a smaller id becomes visible later.

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from orchestrator import status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.foreground import install_stop_signals
from orchestrator.core.errors import ConfigError
from orchestrator.core.text import format_list, format_timestamp
from orchestrator.core.text_sanitizer import sanitize_json, sanitize_line
from orchestrator.status import RunEvent

if TYPE_CHECKING:
    from orchestrator.app import App

FOLLOW_SECONDS: Final = 1.0
NOTE_WIDTH: Final = 20  # of the column with what happened; a longer note moves the rest of its line
DETAIL_INDENT: Final = "    "
SERVICE_CAUSE: Final = "service"  # not worth a detail: most events have it
NO_EVENTS_MESSAGE: Final = "No events yet."


async def print_account_events(
    app: App, account: str, *, follow: bool, run: str, limit: int, as_json: bool
) -> ExitCode:
    """Print the newest events of an account, oldest first; with `follow`, further ones until SIGINT or SIGTERM.

    `run` is the name or id of runs. Raises ConfigError for an unknown account or run.
    """
    stopping = install_stop_signals() if follow else None
    events = await status.list_latest_events(app.database, account, limit=limit, run=run)
    if not events:
        await app.check_account(account)
    if run:
        await _check_run(app, run)
    if not events:
        sys.stderr.write(NO_EVENTS_MESSAGE + "\n")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    previous: RunEvent | None = None
    while True:
        for event in events:
            for line in [_format_json(event)] if as_json else format_event(event, previous, width):
                sys.stdout.write(line + "\n")
            previous = event
        sys.stdout.flush()
        if stopping is None or await _is_set(stopping, FOLLOW_SECONDS):
            return ExitCode.DONE
        after_id = previous.id if previous else 0
        events = await status.list_latest_events(app.database, account, after_id=after_id, run=run)


async def _check_run(app: App, run: str) -> None:
    runs = await status.list_runs(app.database, app.clock.now())
    if not any(run in (item.run.id, item.run.name) for item in runs):
        names = format_list(sorted({item.run.name for item in runs}))
        raise ConfigError(f"no run is named {run}", hint=f"Known runs: {names or 'none yet'}.")


async def _is_set(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most this many seconds. Return whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return False
    return True


def format_event(event: RunEvent, previous: RunEvent | None, width: int | None) -> list[str]:
    """Format an event for a terminal of this width, or as one line for a pipe. `previous` was printed before it."""
    first = f"{format_timestamp(event.at)}  {event.note:<{NOTE_WIDTH}}  {_format_states(event)}".rstrip()
    if width is None:
        return [sanitize_line("  ".join(filter(None, (first, *_list_details(event, None), event.message)))).rstrip()]
    lines = [sanitize_line(first)]
    lines += [sanitize_line(DETAIL_INDENT + detail) for detail in _list_details(event, previous)]
    lines += textwrap.wrap(
        sanitize_line(event.message or ""),
        width,
        initial_indent=DETAIL_INDENT,
        subsequent_indent=DETAIL_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines


def _format_states(event: RunEvent) -> str:
    """Format the change of state; nothing where the state stays the same."""
    if event.state_before is None or event.state_after is None:
        return event.state_after or ""
    return "" if event.state_before == event.state_after else f"{event.state_before} → {event.state_after}"


def _list_details(event: RunEvent, previous: RunEvent | None) -> Iterable[str]:
    """Yield the details of an event, without the run and the remote job of the event before."""
    if event.run_id and (previous is None or previous.run_id != event.run_id):
        yield f"run {event.run_name} ({event.run_id})" if event.run_name else f"run {event.run_id}"
    if event.remote_job_id and (previous is None or previous.remote_job_id != event.remote_job_id):
        yield f"remote job {event.remote_job_id}"
    if event.request_id:
        yield f"request {event.request_id}"
    if event.attempt:
        yield f"attempt {event.attempt}"
    if event.cause != SERVICE_CAUSE:
        yield f"by {event.cause}"


def _format_json(event: RunEvent) -> str:
    """Format an event as one JSON object with the names of the API."""
    fields = {
        "id": event.id,
        "at": status.format_iso(event.at),
        "note": event.note,
        "cause": event.cause,
        "account": event.account,
        "run": event.run_id,
        "run_name": event.run_name,
        "job": event.job_id,
        "deployment": event.deployment_id,
        "comparison": event.comparison_id,
        "state_before": event.state_before,
        "state": event.state_after,
        "attempt": event.attempt,
        "remote_job_id": event.remote_job_id,
        "request_id": event.request_id,
        "message": event.message,
    }
    text = json.dumps(fields, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(fields)
    return sanitize_json(text)
