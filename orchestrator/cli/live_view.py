"""The live view of a run, for `status --watch` and foreground runs on a terminal."""

# Theory of operation
#
# The view never has more lines than the terminal: lines that scroll out of it cannot be drawn again, and a list of
# 300 accounts would hide the summary. If the whole status does not fit,
#
#   1. the title, the counts, and what blocks accounts come first, on at most half of the lines;
#   2. the table has as many accounts as fit, those that need an operator first;
#   3. the last line counts the accounts that are not shown.

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestrator.cli.output import format_counts, format_refusal, format_row, format_state, format_title
from orchestrator.cli.status_table import (
    COLUMNS,
    RUN_COLUMN,
    build_run_tables,
    build_status_table,
    format_totals,
    list_advice,
)
from orchestrator.cli.tables import Output, create_console, fit_table
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.text import format_count
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.status import JobView, StatusSnapshot

MIN_TABLE_LINES = 5  # borders, headings and one account


@contextmanager
def live_status(*, transient: bool = False) -> Iterator[Callable[[StatusSnapshot], None]]:
    """Show a live view; yields a function that replaces the displayed status. `transient` removes it at the end."""
    console = create_console()
    with Live(console=console, refresh_per_second=4, transient=transient) as live:
        yield lambda status: live.update(build_live_view(status, console))


def build_live_view(status: StatusSnapshot, console: Console) -> RenderableType:
    """Build a view of the status that has fewer lines than the terminal."""
    limit = console.height - 1  # the line of the cursor
    refusal = [Text(line) for line in format_refusal(status, console.width)]
    if len(status.jobs) < limit:
        table = (
            build_run_tables(status, console.width)
            if status.other_runs
            else build_status_table(status, console.width)
        )
        whole = Group(*refusal, table)
        if _count_lines(whole, console) <= limit:
            return whole
    summary = _list_summary_lines(status, console.width, max(limit // 2, 2))
    return Group(*map(Text, summary), *_build_rows(status, console, limit - len(summary)))


def _list_summary_lines(status: StatusSnapshot, width: int, limit: int) -> list[str]:
    """List at most `limit` lines: a refused edit, the title, the counts, and what to do for which accounts."""
    texts = [*(format_title(status) or "").splitlines(), format_counts(status)]
    if status.other_runs:
        texts = [format_totals(status), *map(_format_run_line, status.split_by_run())]
    lines = [part for text in texts for part in textwrap.wrap(text, width)]
    for text in (*format_refusal(status, width), *list_advice(status)):
        lines += textwrap.wrap(text, width, subsequent_indent="  ")
    if len(lines) > limit:
        lines[limit - 1 :] = ["More problems: run `orchestrator status --failed` or `--held`."[:width]]
    return lines


def _build_rows(status: StatusSnapshot, console: Console, limit: int) -> Sequence[RenderableType]:
    """Build the table of as many accounts as fit on `limit` lines, and the line that counts the others."""
    jobs = sorted(status.jobs, key=_rank_urgency)
    columns = COLUMNS[:-1]  # without the advice, which stands in the summary
    names = {run.id: sanitize_line(run.name) for run in status.runs} if status.other_runs else {}
    if names:
        columns = (columns[0], RUN_COLUMN, *columns[1:])
    count = min(len(jobs), max(limit - MIN_TABLE_LINES + 1, 1))
    while count:
        rows = [_build_cells(job, status.at, names) for job in jobs[:count]]
        table = Output(fit_table(columns, rows, console.width).parts)
        excess = _count_lines(table, console) + 1 - limit
        if excess <= 0:
            hidden = len(jobs) - count
            noun = format_count(hidden, "more job" if names else "more account")
            return [table, Text(f"{noun}, shown by `orchestrator status`.")] if hidden else [table]
        count -= max(excess // 3, 1)  # a row has up to three lines
        count = max(count, 0)
    noun = "job" if names else "account"
    return [Text(f"{format_count(len(jobs), noun)}: the terminal is too low for the table.")]


def _format_run_line(part: StatusSnapshot) -> str:
    """Format the name of a run with the number of its jobs by state."""
    return sanitize_line(f"{part.run.name}: {format_counts(part)}") if part.run else ""


def _build_cells(job: JobView, now: float, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the cells of a row without the advice; with the names of runs by id, the second cell is the run."""
    account, *others = format_row(job, now)[:-1]
    return (account, names[job.run], *others) if names else (account, *others)


def _rank_urgency(job: JobView) -> int:
    """Return the rank of a job in the view: what needs an operator comes first, what has its model comes last."""
    order = ("failed", "held", "warning", "open", JobState.CANCELLED, JobState.SUCCEEDED)
    state = format_state(job)
    if state not in order:
        state = "warning" if job.warning else "open"
    return order.index(state)


def _count_lines(view: RenderableType, console: Console) -> int:
    return len(console.render_lines(view, pad=False))
