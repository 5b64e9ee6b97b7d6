"""Tables for terminals and pipes: the status, the plan and simple lists."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output import (
    ADVICE_COLUMN,
    LATEST_EVENT_COLUMN,
    MODEL_COLUMN,
    STATUS_COLUMNS,
    format_advice,
    format_counts,
    format_refusal,
    format_row,
    format_title,
)
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.text import format_count, format_list, format_usd
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.status import StatusSnapshot

MAX_TABLE_ROWS = 200  # drawing takes a millisecond per row
WIDE_TERMINAL_COLUMNS = 140  # a terminal of this width has space for every column
MIN_LAST_COLUMN_WIDTH = 20  # a narrower last column would be wrapped into too many lines
PIPE_WIDTH_COLUMNS = 240  # a pipe has no width; wide enough that no model id is cut
MAX_NAMED_ACCOUNTS = 8
OPTIONAL_STATUS_COLUMNS = ("provider", "for", "progress")  # left out in this order on a narrow terminal
STATE_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "held": "yellow",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "blue",
}


def create_console() -> Console:
    """Create a console for stdout. Markup is off: a provider's text such as `[key 1a2b3c4d]` is printed unchanged."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH_COLUMNS
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_status(status: StatusSnapshot) -> None:
    """Print one row per account, as a drawn table up to MAX_TABLE_ROWS and as aligned columns beyond."""
    if len(status.jobs) <= MAX_TABLE_ROWS:
        console = create_console()
        console.print(build_status_table(status, console.width))
        return
    widths = _measure_status_columns(status)
    if title := format_title(status):
        sys.stdout.write(f"{title}\n")
    for row in chain([STATUS_COLUMNS], (format_row(job, status.at) for job in status.jobs)):
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")
    sys.stdout.write(f"{format_counts(status)}\n")


def build_status_table(status: StatusSnapshot, width: int) -> RenderableType:
    """Build a table with one row per account. On a narrow terminal the advice stands below the table, uncut."""
    # The title and the counts are not those of the table, which would be wrapped at the width of the table.
    above, below = filter(None, [format_title(status)]), [format_counts(status)]
    if width >= WIDE_TERMINAL_COLUMNS:
        return Group(*map(Text, above), _build_table(status, range(len(STATUS_COLUMNS))), *map(Text, below))
    columns = _select_columns(_measure_status_columns(status), width)
    if STATUS_COLUMNS.index(MODEL_COLUMN) not in columns:
        models = (f"{job.account}: {job.fine_tuned_model}" for job in status.jobs if job.fine_tuned_model)
        below += map(sanitize_line, models)
    return Group(*map(Text, above), _build_table(status, columns), *map(Text, (*below, *_list_advice(status))))


def _select_columns(widths: Sequence[int], width: int) -> list[int]:
    """Select the columns of a narrow terminal, so that each model id is on one line: a wrapped id cannot be copied.

    Columns that matter less are left out first. If a model id is too long even then, its column is left out instead.
    """

    def fits(columns: Sequence[int]) -> bool:
        return sum(widths[index] + 3 for index in columns) + 1 <= width  # each column has a border and two spaces

    # The latest event is left out first: the state expresses nearly the same.
    every = [index for index, name in enumerate(STATUS_COLUMNS) if name not in (LATEST_EVENT_COLUMN, ADVICE_COLUMN)]
    for count in range(len(OPTIONAL_STATUS_COLUMNS) + 1):
        columns = [index for index in every if STATUS_COLUMNS[index] not in OPTIONAL_STATUS_COLUMNS[:count]]
        if fits(columns):
            return columns
    return [index for index in every if STATUS_COLUMNS[index] != MODEL_COLUMN]


def _measure_status_columns(status: StatusSnapshot) -> list[int]:
    widths = list(map(len, STATUS_COLUMNS))
    for job in status.jobs:
        widths = list(map(max, widths, map(cell_len, format_row(job, status.at))))
    return widths


def _list_advice(status: StatusSnapshot) -> Iterator[str]:
    """Yield each advice once, with the accounts that it concerns: a hold of the run concerns all of them."""
    accounts_by_advice: dict[str, list[str]] = {}
    for job in status.jobs:
        if text := format_advice(job):
            accounts_by_advice.setdefault(text, []).append(job.account)
    for text, accounts in accounts_by_advice.items():
        yield sanitize_line(f"{format_list(accounts, limit=MAX_NAMED_ACCOUNTS)}: {text}")


def _build_table(status: StatusSnapshot, columns: Sequence[int]) -> Table:
    table = Table()
    for heading in (STATUS_COLUMNS[index] for index in columns):
        folded = heading in (MODEL_COLUMN, ADVICE_COLUMN)
        ratio = 1 if heading == ADVICE_COLUMN else None
        table.add_column(heading, no_wrap=not folded, overflow="fold" if folded else "ellipsis", ratio=ratio)
    for job in status.jobs:
        texts = [Text(text) for text in format_row(job, status.at)]
        state = texts[STATUS_COLUMNS.index("state")]
        state.stylize(STATE_COLOURS.get(state.plain, ""))
        table.add_row(*(texts[index] for index in columns))
    return table


def build_plan_table(plan: Plan, width: int) -> RenderableType:
    """Build a table of the plan. On a narrow terminal, price sources and holds stand below the table, uncut."""
    dataset = plan.dataset.training
    tokens = "unknown number of tokens" if dataset.tokens is None else format_count(dataset.tokens, "token")
    # Not the title and the caption of the table, which would be wrapped at the width of the table.
    title = (
        f"Plan for {plan.name}, run {plan.run_id}",
        f"Dataset {plan.dataset.sha256[:16]}: {format_count(dataset.examples, 'example')}, "
        f"{format_count(dataset.bytes, 'byte')}, {tokens}",
    )
    total = (
        f"Actions: {_format_step_counts(plan)}",
        f"Estimated price of the run: {format_usd(plan.total_usd)}, of which {format_usd(plan.new_usd)} for new jobs",
    )
    table = Table()
    is_wide = width >= WIDE_TERMINAL_COLUMNS
    for heading in ("account", "provider", "base model", "action", "price"):
        table.add_column(heading, no_wrap=is_wide, overflow="fold")
    if is_wide:
        table.add_column("price source", no_wrap=True)
        table.add_column("reason", overflow="fold", ratio=1)
    for line in plan.lines:
        row = (line.account, line.provider, line.base_model, line.step, format_usd(line.usd))
        details = (line.price_source, _format_hold(line)) if is_wide else ()
        table.add_row(*map(sanitize_line, row + details))
    above, below = ([Text(sanitize_line(line)) for line in lines] for lines in (title, total))
    if is_wide:
        return Group(*above, table, *below)
    sources = dict.fromkeys(f"Price of {line.base_model}: {line.price_source}" for line in plan.lines)
    holds = [f"{line.account}: {_format_hold(line)}" for line in plan.lines if line.hold]
    return Group(*above, table, *below, *(Text(sanitize_line(note)) for note in (*sources, *holds)))


def _format_hold(line: PlanLine) -> str:
    return f"{line.hold.kind}: {line.hold.reason}. {line.hold.hint}" if line.hold else ""


def build_simple_table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> RenderableType:
    """Build a table of texts without control characters, whose last column is wrapped.

    If it does not fit into `width` characters, each row becomes a wrapped line instead, so that no text is cut. Such
    a line names each value, because it stands under no heading; the first value needs no name, and empty ones are
    left out.
    """
    texts = [[sanitize_line(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *texts, strict=True)]
    least = sum(widths[:-1]) + min(widths[-1], MIN_LAST_COLUMN_WIDTH)
    if least + 2 * (len(widths) - 1) > width:
        return Group(*(Text(line) for row in texts for line in _wrap_labelled_row(headings, row, width)))
    has_borders = least + 3 * len(widths) + 1 <= width
    table = Table() if has_borders else Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    for row in texts:
        table.add_row(*row)
    return table


def _wrap_labelled_row(headings: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """Format a row as lines. A value that does not fit on the line moves to the next one, together with its name."""
    wrap = textwrap.TextWrapper(width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    lines = [row[0]]
    for heading, cell in zip(headings[1:], row[1:], strict=True):
        if cell in ("", "–"):
            continue
        named = f"{heading}: {cell}"
        if cell_len(lines[-1]) + 2 + cell_len(named) <= width:
            lines[-1] += f"  {named}"
        else:
            lines += wrap.wrap(f"    {named}")
    return lines


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of texts in a form that fits the terminal."""
    console = create_console()
    console.print(build_simple_table(headings, rows, console.width))


def _format_step_counts(plan: Plan) -> str:
    counts: Mapping[PlanStep, int] = {step: plan.count(step) for step in PlanStep}
    return ", ".join(f"{step}: {count}" for step, count in counts.items() if count)


@contextmanager
def live_status() -> Iterator[Callable[[StatusSnapshot], None]]:
    """Show a live table; yields a function that replaces the displayed status."""
    console = create_console()
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda status: live.update(build_live_view(status, console.width))


def build_live_view(status: StatusSnapshot, width: int) -> RenderableType:
    """Build the status table, with a refused edit above it if there is one."""
    return Group(*map(Text, format_refusal(status, width)), build_status_table(status, width))
