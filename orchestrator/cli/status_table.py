"""The tables of the status and of the models."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from orchestrator.cli.output import (
    ADVICE_COLUMN,
    LATEST_EVENT_COLUMN,
    MODEL_COLUMN,
    STATUS_COLUMNS,
    format_advice,
    format_counts,
    format_row,
    format_title,
)
from orchestrator.cli.tables import (
    EMPTY_VALUES,
    Column,
    Output,
    fit_table,
    get_table_width,
    join_outputs,
    print_output,
)
from orchestrator.core.structs import replace
from orchestrator.core.text import format_count, format_list
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.exports import ModelSet, list_checkpoint_rows, list_table_rows
from orchestrator.status import StatusSnapshot

MAX_NAMED_ACCOUNTS = 8
MIN_ADVICE_WIDTH = 50  # in a narrower column a sentence takes more lines than below the table
STATE_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "held": "yellow",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "blue",
}
# The latest event is left out early: the state expresses nearly the same. The advice then stands below the table.
IMPORTANCE = {ADVICE_COLUMN: 1, LATEST_EVENT_COLUMN: 2, "provider": 3, "for": 4, "progress": 5}
COLUMNS = tuple(
    Column(
        heading=heading,
        importance=IMPORTANCE.get(heading),
        wraps=heading == ADVICE_COLUMN,
        min_width=MIN_ADVICE_WIDTH,
        colours=STATE_COLOURS if heading == "state" else {},
        has_notes=heading == ADVICE_COLUMN,
    )
    for heading in STATUS_COLUMNS
)
RUN_COLUMN = Column(heading="run")
MODELS_COLUMNS = (
    Column(heading="account"),
    Column(heading="provider", importance=2),
    Column(heading="base model", importance=1),  # left out first: the id of the model usually contains it
    Column(heading=MODEL_COLUMN),
    Column(heading="days left", importance=3),
    Column(heading="callable", wraps=True),
)


CHECKPOINT_COLUMNS = (
    Column(heading="account"),
    Column(heading="checkpoint"),
    Column(heading="epoch", importance=1),
    Column(heading="step", importance=2),
    Column(heading="training loss", importance=3),
    Column(heading="validation loss", importance=4),
    Column(heading="model"),
)
LOSS_COLUMNS = (4, 5)  # always shown where they have values: the checkpoint is chosen by them


def print_status(status: StatusSnapshot, *, wide: bool = False) -> None:
    """Print one row per account in a form that fits the terminal, in a table for each current run."""
    width, borders = get_table_width(wide=wide), sys.stdout.isatty()
    if not status.other_runs:
        print_output(build_status_table(status, width, borders=borders))
        return
    print_output(build_run_tables(status, width, borders=borders))
    sys.stdout.write(f"\n{format_totals(status)}\n")


def build_run_tables(status: StatusSnapshot, width: int | None, *, borders: bool = True) -> Output:
    """Build the table of each current run; runs without a matching job have none."""
    parts = [part for part in status.split_by_run() if part.jobs or not status.jobs]
    return join_outputs([build_status_table(part, width, borders=borders) for part in parts])


def format_totals(status: StatusSnapshot) -> str:
    """Format the number of current runs and of all their jobs by state."""
    return f"{format_count(len(status.runs), 'run')}: {format_counts(status)}"


def print_models_table(models: ModelSet, *, wide: bool = False) -> None:
    """Print one row per account, in a table for each run."""
    print_output(build_models_table(models, get_table_width(wide=wide), borders=sys.stdout.isatty()))


def print_checkpoints_table(models: ModelSet, *, wide: bool = False) -> None:
    """Print one row per checkpoint, in a table for each run."""
    print_output(build_checkpoints_table(models, get_table_width(wide=wide), borders=sys.stdout.isatty()))


def build_checkpoints_table(models: ModelSet, width: int | None, *, borders: bool = True) -> Output:
    """Build a table for each run. On a narrow terminal no loss is left out."""
    outputs = []
    for part in models.split_by_run():
        rows = list_checkpoint_rows(part)
        table = fit_table(_list_checkpoint_columns(rows), rows, width, borders=borders)
        title = [sanitize_line(f"Run {part.name}")] if models.has_several_runs else []
        outputs.append(table.place_between(title, ()))
    return join_outputs(outputs)


def _list_checkpoint_columns(rows: Sequence[Sequence[str]]) -> list[Column]:
    with_losses = {index for index in LOSS_COLUMNS if any(row[index] not in EMPTY_VALUES for row in rows)}
    return [
        replace(column, importance=None) if index in with_losses else column
        for index, column in enumerate(CHECKPOINT_COLUMNS)
    ]


def build_models_table(models: ModelSet, width: int | None, *, borders: bool = True) -> Output:
    """Build a table for each run, with the name of the run above it if there are several."""
    outputs = []
    for part in models.split_by_run():
        table = fit_table(MODELS_COLUMNS, list_table_rows(part), width, borders=borders)
        title = [sanitize_line(f"Run {part.name}")] if models.has_several_runs else []
        outputs.append(table.place_between(title, ()))
    return join_outputs(outputs)


def build_status_table(status: StatusSnapshot, width: int | None, *, borders: bool = True) -> Output:
    """Build a table with one row per account. On a narrow terminal the advice stands below the table, uncut."""
    table = fit_table(COLUMNS, (format_row(job, status.at) for job in status.jobs), width, borders=borders)
    # The title and the counts are not those of the table, which would be wrapped at the width of the table.
    above, below = filter(None, [format_title(status)]), [format_counts(status)]
    if ADVICE_COLUMN in table.noted:
        below += list_advice(status)
    return table.place_between(above, below)


def list_advice(status: StatusSnapshot) -> Iterator[str]:
    """Yield each advice once, with the accounts that it concerns: a hold of the run concerns all of them."""
    accounts_by_advice: dict[str, list[str]] = {}
    for job in status.jobs:
        if text := format_advice(job):
            accounts_by_advice.setdefault(text, []).append(job.account)
    for text, accounts in accounts_by_advice.items():
        names = list(dict.fromkeys(accounts))  # an account has a job in each run
        yield sanitize_line(f"{format_list(names, limit=MAX_NAMED_ACCOUNTS)}: {text}")
