"""Progress bars on stderr for slow work. They appear on a terminal only, never in pipes and logs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

ProgressCallback = Callable[[int, int], None]
"""Receives the amount done and the total amount, in the unit of the bar."""


@contextmanager
def reading_progress(label: str) -> Iterator[ProgressCallback | None]:
    """Show a bar for reading files, in bytes. Yields None if stderr is not a terminal."""
    with _progress_bar(label, "bytes") as report:
        yield report


@contextmanager
def moderation_progress() -> Iterator[ProgressCallback | None]:
    """Show a bar for moderation, in texts. Yields None if stderr is not a terminal."""
    with _progress_bar("moderating", "texts") as report:
        yield report


@contextmanager
def comparison_progress() -> Iterator[ProgressCallback | None]:
    """Show a bar for the answers of models. Yields None if stderr is not a terminal."""
    with _progress_bar("comparing", "answers") as report:
        yield report


@contextmanager
def _progress_bar(label: str, unit: Literal["bytes", "texts", "answers"]) -> Iterator[ProgressCallback | None]:
    """Show the bar from the first report on, and remove it at the end."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # lazy: only for terminals
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount_column = {"bytes": DownloadColumn}.get(unit, MofNCompleteColumn)()
    columns = (TextColumn(label), BarColumn(), amount_column, TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)

    def report(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()
