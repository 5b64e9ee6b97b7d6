"""Progress: a bar on stderr while something takes its time, on a terminal only. Pipes and logs see nothing of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

Tell = Callable[[int, int], None]
"""Told how far it is, and of how much."""


@contextmanager
def reading(what: str) -> Iterator[Tell | None]:
    """A bar for reading files, in bytes; None where nobody would see it."""
    with _bar(TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn()) as tell:
        yield tell


@contextmanager
def moderating() -> Iterator[Tell | None]:
    """A bar for moderation, in texts; None where nobody would see it."""
    with _bar(TextColumn("moderating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as tell:
        yield tell


@contextmanager
def _bar(*columns: ProgressColumn) -> Iterator[Tell | None]:
    """Shown from the first word on, and gone afterwards."""
    if not sys.stderr.isatty():
        yield None
        return
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)

    def tell(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield tell
    finally:
        bar.stop()
