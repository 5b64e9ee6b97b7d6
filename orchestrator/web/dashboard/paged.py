"""Paged: a page of many, chosen by a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.web.query import Query

PAGE_ROWS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """What the pages of the run and of its plan have in common."""

    query: Query
    matching: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return pages_of(self.matching)

    @property
    def first(self) -> int:
        """The number of the first row, counted from 1 over all pages."""
        return (self.query.page - 1) * PAGE_ROWS + 1


def pages_of(matching: int) -> int:
    """How many pages so many rows take."""
    return max(1, -(-matching // PAGE_ROWS))
