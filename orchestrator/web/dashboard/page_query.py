"""The filter, order and page number of a dashboard page: parts of the URL, which can be bookmarked and shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlencode

from fastapi import Request

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import DEFAULT_ORDER, JobSortOrder
from orchestrator.core.structs import Struct, replace
from orchestrator.status import HELD
from orchestrator.web.problem import ProblemError

ROWS_PER_PAGE: Final = 50


def reject_nul(request: Request) -> None:
    """Reject a NUL character in the URL: no name or id contains one, and PostgreSQL fails on a query for it."""
    if "\0" in request.scope["path"]:
        raise ProblemError(404, "Page not found.", "The start page lists the accounts.")
    if any("\0" in name + value for name, value in request.query_params.multi_items()):
        raise ProblemError(400, "The URL contains a NUL character.", "Remove `%00` from it.")


class PageQuery(Struct, frozen=True, kw_only=True):
    """Filter, order and page number. An empty field matches everything."""

    state: str = ""  # a job state, or "held"
    provider: str = ""
    label: str = ""
    error: str = ""  # kind of error or hold
    text: str = ""  # full-text search
    run: str = ""  # run id; empty: the current run
    order: JobSortOrder = DEFAULT_ORDER
    page: int = 1  # counted from 1

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """Parse the parameters of a URL; a malformed page number counts as page 1."""
        page = parameters.get("page", "")
        return cls(
            state=parameters.get("state", ""),
            provider=parameters.get("provider", ""),
            label=parameters.get("label", ""),
            error=parameters.get("error", ""),
            text=parameters.get("q", "").strip(),
            run=parameters.get("run", ""),
            order=JobSortOrder.parse(parameters.get("sort", "")),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    @property
    def job_filter(self) -> JobFilter:
        """The filter in the form that `status` takes."""
        is_held = self.state == HELD
        return JobFilter(
            state="" if is_held else self.state,
            held=is_held if self.state else None,
            provider=self.provider,
            label=self.label,
            error=self.error,
            text=self.text,
        )

    @property
    def is_narrowing(self) -> bool:
        """Whether the filter excludes anything."""
        return self.job_filter.is_narrowing

    @property
    def values(self) -> dict[str, str]:
        """The non-empty fields as URL parameters."""
        values = {
            "state": self.state,
            "provider": self.provider,
            "label": self.label,
            "error": self.error,
            "q": self.text,
            "run": self.run,
            "sort": str(self.order),
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in values.items() if value}

    @property
    def run_only(self) -> Self:
        """The query of the same run without a filter."""
        return type(self)(run=self.run)

    @property
    def href(self) -> str:
        """URL of the run page with this filter."""
        return self.href_for("/")

    def href_for(self, path: str, **more: str) -> str:
        """Return the URL of `path` with this filter and further parameters."""
        values = more | self.values
        return path + (f"?{urlencode(values)}" if values else "")

    def with_changes(self, **changes: Any) -> Self:
        """Return a changed copy; the page number is reset to 1 unless it is given."""
        return replace(self, **{"page": 1} | changes)


class PaginatedView(Struct, frozen=True, kw_only=True):
    """Base class of views with a paginated table."""

    query: PageQuery
    match_count: int

    @property
    def page_count(self) -> int:
        """Number of pages."""
        return count_pages(self.match_count)

    @property
    def first_row(self) -> int:
        """Number of the first row, counted from 1 over all pages."""
        return (self.query.page - 1) * ROWS_PER_PAGE + 1


def count_pages(row_count: int) -> int:
    """Return the number of pages for this number of rows; at least 1."""
    return max(1, -(-row_count // ROWS_PER_PAGE))
