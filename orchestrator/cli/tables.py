"""Tables: values of the read model, drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.render import (
    COLUMNS,
    LATEST_EVENT,
    MODEL,
    WHAT_TO_DO,
    cells,
    counts,
    refusal_lines,
    title,
    usd,
    what_to_do,
)
from orchestrator.core.plan import Plan, Step
from orchestrator.core.printable import printable
from orchestrator.status import Status

WIDE = 140  # characters of a terminal in which every column has its place
PIPE_WIDTH = 240  # a pipe has no width; never cut a model id for it
COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "held": "yellow",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "blue",
}


def console() -> Console:
    """Where results go. A provider's words are no markup: `[key 1a2b3c4d]` is printed as it is."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def status_table(status: Status, width: int) -> RenderableType:
    """One line an account, drawn. Where the terminal is narrow, what to do stands below the table, in full."""
    if width >= WIDE:
        return _table(status, range(len(COLUMNS)))
    # The latest event says the least: the state says nearly the same.
    narrow = [COLUMNS.index(each) for each in COLUMNS if each not in (LATEST_EVENT, WHAT_TO_DO)]
    notes = [Text(f"{printable(job.account)}: {text}") for job in status.jobs if (text := what_to_do(job))]
    return Group(_table(status, narrow), *notes)


def _table(status: Status, shown: Sequence[int]) -> Table:
    table = Table(title=title(status), caption=counts(status), title_justify="left", caption_justify="left")
    for heading in (COLUMNS[index] for index in shown):
        folded = heading in (MODEL, WHAT_TO_DO)
        ratio = 1 if heading == WHAT_TO_DO else None
        table.add_column(heading, no_wrap=not folded, overflow="fold" if folded else "ellipsis", ratio=ratio)
    for job in status.jobs:
        texts = [Text(text) for text in cells(job, status.at)]
        state = texts[COLUMNS.index("state")]
        state.stylize(COLOURS.get(state.plain, ""))
        table.add_row(*(texts[index] for index in shown))
    return table


def plan_table(plan: Plan) -> Table:
    """One line an account, and the totals."""
    dataset = plan.dataset.training
    tokens = "unknown" if dataset.tokens is None else f"{dataset.tokens:,}"
    table = Table(
        title=f"plan for run {plan.run_id} ({printable(plan.name)})\n"
        f"dataset {plan.dataset.sha256[:16]}: {dataset.examples} examples, {dataset.bytes:,} bytes, {tokens} tokens",
        caption=f"{_steps(plan)}; estimated price of the run: {usd(plan.total_usd)}, "
        f"of which still to be spent: {usd(plan.new_usd)}",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("account", "provider", "base model", "what happens", "price", "price from"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for line in plan.lines:
        why = f"{line.hold.kind}: {line.hold.reason}. {line.hold.hint}" if line.hold else ""
        price = (usd(line.usd), line.price_source)
        row = (line.account, line.provider, line.base_model, line.step, *price, why)
        table.add_row(*map(printable, row))
    return table


def simple_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table of anybody's texts, fit for a terminal; the last column folds."""
    table = Table()
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    return table


def _steps(plan: Plan) -> str:
    counts: Mapping[Step, int] = {step: plan.count(step) for step in Step}
    return ", ".join(f"{count} {step}" for step, count in counts.items() if count)


@contextmanager
def live() -> Iterator[Callable[[Status], None]]:
    """Shows the status it is given in the place of the one before."""
    drawing = console()
    with Live(console=drawing, refresh_per_second=4) as drawn:
        yield lambda status: drawn.update(live_view(status, drawing.width))


def live_view(status: Status, width: int) -> RenderableType:
    """The table, under the edit that is not in force where there is one."""
    return Group(*map(Text, refusal_lines(status, width)), status_table(status, width))
