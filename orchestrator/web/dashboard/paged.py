"""Paged: a page of many, chosen by a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.web.query import PageQuery

ROWS_PER_PAGE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PaginatedView:
    """What the pages of the run and of its plan have in common."""

    query: PageQuery
    match_count: int

    @property
    def page_count(self) -> int:
        """How many pages there are."""
        return count_pages(self.match_count)

    @property
    def first_row(self) -> int:
        """The number of the first row, counted from 1 over all pages."""
        return (self.query.page - 1) * ROWS_PER_PAGE + 1


def count_pages(row_count: int) -> int:
    """How many pages so many rows take."""
    return max(1, -(-row_count // ROWS_PER_PAGE))
