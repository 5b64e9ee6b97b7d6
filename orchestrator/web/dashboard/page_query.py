"""Query: what a page is asked for. It lives in the address, so that it can be kept and sent to someone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import urlencode

from fastapi import Request

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.status import HELD
from orchestrator.web.problem import ProblemError


def reject_nul(request: Request) -> None:
    """Refuse a NUL in the address: no name, label or id holds one, and PostgreSQL fails on a query for it."""
    if "\0" in request.scope["path"]:
        raise ProblemError(404, "there is no such page", "The first page lists the accounts.")
    if any("\0" in name + value for name, value in request.query_params.multi_items()):
        raise ProblemError(400, "the address holds a NUL character", "Remove `%00` from it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """What is left out narrows nothing. `state` may be "held"; `run` is the current one; pages count from 1."""

    state: str = ""
    provider: str = ""
    label: str = ""
    error: str = ""
    text: str = ""
    run: str = ""
    page: int = 1

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """From an address; what makes no sense counts as not given."""
        page = parameters.get("page", "")
        return cls(
            state=parameters.get("state", ""),
            provider=parameters.get("provider", ""),
            label=parameters.get("label", ""),
            error=parameters.get("error", ""),
            text=parameters.get("q", "").strip(),
            run=parameters.get("run", ""),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    @property
    def job_filter(self) -> JobFilter:
        """The jobs that are meant, in the words of the read model."""
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
        """Whether anything is left out."""
        return self.job_filter.is_narrowing

    @property
    def values(self) -> dict[str, str]:
        """What is given, as the address says it."""
        values = {
            "state": self.state,
            "provider": self.provider,
            "label": self.label,
            "error": self.error,
            "q": self.text,
            "run": self.run,
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in values.items() if value}

    @property
    def href(self) -> str:
        """The address of this page."""
        return self.href_for("/")

    def href_for(self, path: str, **more: str) -> str:
        """The address of another page about the same."""
        values = more | self.values
        return path + (f"?{urlencode(values)}" if values else "")

    def with_changes(self, **changes: Any) -> Self:
        """The first page of the same, but for this."""
        return replace(self, **{"page": 1} | changes)


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
