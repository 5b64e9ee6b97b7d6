"""The order of a list of jobs: a column and a direction, as in the dashboard's URLs."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

from orchestrator.core.structs import Struct


class JobColumn(StrEnum):
    """A column by which a list of jobs can be sorted. The values are part of the dashboard's URLs."""

    ACCOUNT = "account"
    STATE = "state"
    SINCE = "since"
    MODEL = "model"
    REMOTE_JOB = "job"
    RETIRES = "retires"
    PRICE = "price"
    START = "start"
    DURATION = "duration"


class JobSortOrder(Struct, frozen=True):
    """The order of a list of jobs. Jobs without a value in the column come last in both directions."""

    column: JobColumn = JobColumn.ACCOUNT
    descending: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a column's name, with a leading minus for the descending order; any other text is the default."""
        name = text.removeprefix("-")
        if name not in set(JobColumn):
            return cls()
        return cls(JobColumn(name), text.startswith("-"))

    def __str__(self) -> str:
        """Return the text that `parse` reads; the default order is the empty text."""
        return "" if self == JobSortOrder() else self.text

    @property
    def text(self) -> str:
        """The text that `parse` reads, also for the default order."""
        return ("-" if self.descending else "") + self.column

    def select_column(self, column: JobColumn) -> JobSortOrder:
        """Return the order after a click on the heading of a column: the second click reverses the order."""
        return JobSortOrder(column, descending=self.column is column and not self.descending)


DEFAULT_ORDER: Final = JobSortOrder()
"""By account name."""
