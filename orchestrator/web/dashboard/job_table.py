"""Headings with sort links, and the active filters, of the account table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from orchestrator.core.jobs.job_sort_order import JobColumn
from orchestrator.core.structs import Struct
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.template_filters import format_identifier

_COLUMN_TITLES: Final[Mapping[JobColumn, str]] = {  # in the order of the table
    JobColumn.ACCOUNT: "Account",
    JobColumn.STATE: "State",
    JobColumn.SINCE: "Since",
    JobColumn.MODEL: "Fine-tuned model",
    JobColumn.REMOTE_JOB: "Remote job",
    JobColumn.RETIRES: "Retires",
    JobColumn.PRICE: "Est. price",
}
_FILTER_TITLES: Final[Mapping[str, str]] = {
    "state": "State",
    "error": "Error",
    "provider": "Provider",
    "label": "Label",
    "text": "Search",
}


class ColumnHeading(Struct, frozen=True, kw_only=True):
    """Heading of a column, with the URL that sorts the table by it."""

    column: JobColumn
    title: str
    sort: Literal["ascending", "descending"] | None  # None: the table is not sorted by this column
    href: str


class ActiveFilter(Struct, frozen=True, kw_only=True):
    """A filter of the table, and the URL without it."""

    name: str
    title: str
    value: str
    href: str


def build_columns(query: PageQuery) -> tuple[ColumnHeading, ...]:
    """Build the headings; a click on the current sort column reverses the order."""
    return tuple(
        ColumnHeading(
            column=column,
            title=title,
            sort=None if query.order.column is not column else _describe_direction(query),
            href=query.with_changes(order=query.order.select_column(column)).href,
        )
        for column, title in _COLUMN_TITLES.items()
    )


def build_active_filters(query: PageQuery) -> tuple[ActiveFilter, ...]:
    """Build an entry for each filter that is set."""
    return tuple(
        ActiveFilter(
            name=name,
            title=title,
            value=format_identifier(value) if name == "error" else value,
            href=query.with_changes(**{name: ""}).href,
        )
        for name, title in _FILTER_TITLES.items()
        if (value := getattr(query, name))
    )


def _describe_direction(query: PageQuery) -> Literal["ascending", "descending"]:
    return "descending" if query.order.descending else "ascending"
