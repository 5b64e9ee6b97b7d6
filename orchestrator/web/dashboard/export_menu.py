"""The export menu of the run page: the model ids of the accounts that match the filter, in each format."""

from __future__ import annotations

from orchestrator.core.structs import Struct
from orchestrator.exports import ExportFormat
from orchestrator.web.dashboard.page_query import PageQuery


class ExportLink(Struct, frozen=True, kw_only=True):
    """A link that saves a file."""

    format: str
    description: str
    href: str


class ExportGroup(Struct, frozen=True, kw_only=True):
    """The formats that list the same accounts."""

    title: str
    links: tuple[ExportLink, ...]


def build_export_groups(query: PageQuery) -> tuple[ExportGroup, ...]:
    """Build the menu for the accounts that match the filter of the page; order and page number do not matter."""
    by_scope = {True: "Every account", False: "Only those whose model can be called"}
    return tuple(
        ExportGroup(
            title=title,
            links=tuple(_build_link(query, each) for each in ExportFormat if each.lists_every_account is lists_all),
        )
        for lists_all, title in by_scope.items()
    )


def _build_link(query: PageQuery, export_format: ExportFormat) -> ExportLink:
    href = query.with_changes(order=PageQuery().order).href_for("/export", format=export_format)
    return ExportLink(format=export_format, description=export_format.description, href=href)
