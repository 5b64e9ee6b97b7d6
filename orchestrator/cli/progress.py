"""Progress: a bar on stderr while something takes its time, on a terminal only. Pipes and logs see nothing of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

ProgressCallback = Callable[[int, int], None]
"""Told how far it is, and of how much."""


@contextmanager
def reading_progress(what: str) -> Iterator[ProgressCallback | None]:
    """A bar for reading files, in bytes; None where nobody would see it."""
    with _progress_bar(what, "bytes") as tell:
        yield tell


@contextmanager
def moderation_progress() -> Iterator[ProgressCallback | None]:
    """A bar for moderation, in texts; None where nobody would see it."""
    with _progress_bar("moderating", "texts") as tell:
        yield tell


@contextmanager
def _progress_bar(what: str, unit: Literal["bytes", "texts"]) -> Iterator[ProgressCallback | None]:
    """Shown from the first word on, and gone afterwards."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # 2 MB and 25 ms where nobody would see it
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    done_of = {"bytes": DownloadColumn, "texts": MofNCompleteColumn}[unit]()
    columns = (TextColumn(what), BarColumn(), done_of, TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)

    def tell(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield tell
    finally:
        bar.stop()
