"""The page with the difference between two datasets: added, removed and changed examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Self
from urllib.parse import urlencode

from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count, format_time
from orchestrator.dataset.browse.chat_difference import build_changed_groups
from orchestrator.dataset.browse.example_library import BrowsedExample, DatasetDifference, OpenDataset
from orchestrator.status import DatasetView
from orchestrator.web.dashboard.examples_view import EXAMPLES_PER_PAGE, ExampleRow, build_row, parse_page

KINDS: Final = {"changed": "Changed", "added": "Added", "removed": "Removed"}
_SAME_TEXTS: Final = "All shown texts are equal. A picture, a tool definition or another field differs."


class DifferenceQuery(Struct, frozen=True, kw_only=True):
    """The two datasets, the kind of difference and the page. An empty kind: the first kind with examples."""

    sha256: str
    other: str
    kind: str = ""
    page: int = 1

    @classmethod
    def from_parameters(cls, sha256: str, other: str, parameters: Mapping[str, str]) -> Self:
        """Parse the parameters of a URL."""
        kind = parameters.get("kind", "")
        return cls(
            sha256=sha256,
            other=other,
            kind=kind if kind in KINDS else "",
            page=parse_page(parameters.get("page", "")),
        )

    def href_for(self, kind: str, page: int = 1) -> str:
        """Return the URL of a kind of difference."""
        values = {"with": self.other, "kind": kind} | ({"page": str(page)} if page > 1 else {})
        return f"/datasets/{self.sha256}/difference?{urlencode(values)}"


class DifferenceRow(Struct, frozen=True, kw_only=True):
    """An example before and after; None where it does not exist."""

    old: ExampleRow | None
    new: ExampleRow | None


class KindChip(Struct, frozen=True, kw_only=True):
    """A kind of difference with its number of examples."""

    kind: str
    label: str
    count: int
    href: str
    chosen: bool


class DatasetChoice(Struct, frozen=True, kw_only=True):
    """A dataset to compare with."""

    sha256: str
    label: str


class DifferencePage(Struct, frozen=True, kw_only=True):
    """View of the page. `problem` is why nothing is shown; `choices` are the other datasets."""

    query: DifferenceQuery
    chips: tuple[KindChip, ...] = ()
    unchanged: int = 0
    match_count: int = 0
    page_count: int = 1
    first_row: int = 1
    rows: tuple[DifferenceRow, ...] = ()
    problem: str = ""
    choices: tuple[DatasetChoice, ...] = ()

    def page_href(self, page: int) -> str:
        """Return the URL of another page of the same kind."""
        return self.query.href_for(self.query.kind, page)


def find_previous(datasets: Sequence[DatasetView], sha256: str) -> str | None:
    """Return the dataset of the newest run before the first one with this dataset; None if there is none."""
    before = [
        (item.run.created_at, view.dataset.sha256)
        for view in datasets
        for item in view.runs
        if view.dataset.sha256 != sha256
    ]
    first = min((item.run.created_at for v in datasets if v.dataset.sha256 == sha256 for item in v.runs), default=0.0)
    return max((each for each in before if each[0] <= first), default=(0.0, None))[1]


def list_choices(datasets: Sequence[DatasetView], sha256: str) -> tuple[DatasetChoice, ...]:
    """Return the other datasets."""
    rows = (view.dataset for view in datasets if view.dataset.sha256 != sha256)
    return tuple(
        DatasetChoice(
            sha256=row.sha256,
            label=f"{row.sha256[:8]} · {format_count(row.examples, 'example')} · {format_time(row.created_at)}",
        )
        for row in rows
    )


def build_unavailable_page(query: DifferenceQuery, problem: str) -> DifferencePage:
    """Build the page of datasets that cannot be compared."""
    return DifferencePage(query=query, problem=problem)


def build_difference_page(
    old: OpenDataset, new: OpenDataset, difference: DatasetDifference, query: DifferenceQuery
) -> DifferencePage:
    """Build the requested page of the difference, or the last one."""
    pairs: dict[str, Sequence[int]] = {
        "changed": difference.changed_new,
        "added": difference.added,
        "removed": difference.removed,
    }
    kind = query.kind or next((kind for kind, found in pairs.items() if found), "changed")
    page_count = max(1, -(-len(pairs[kind]) // EXAMPLES_PER_PAGE))
    query = replace(query, kind=kind, page=min(query.page, page_count))
    start = (query.page - 1) * EXAMPLES_PER_PAGE
    return DifferencePage(
        query=query,
        chips=tuple(
            KindChip(kind=each, label=label, count=len(pairs[each]), href=query.href_for(each), chosen=each == kind)
            for each, label in KINDS.items()
        ),
        unchanged=difference.unchanged,
        match_count=len(pairs[kind]),
        page_count=page_count,
        first_row=start + 1,
        rows=_build_rows(old, new, difference, query, slice(start, start + EXAMPLES_PER_PAGE)),
    )


def _build_rows(
    old: OpenDataset, new: OpenDataset, difference: DatasetDifference, query: DifferenceQuery, shown: slice
) -> tuple[DifferenceRow, ...]:
    if query.kind == "added":
        examples = new.list_examples(difference.added[shown])
        return tuple(DifferenceRow(old=None, new=build_row(each, query.sha256)) for each in examples)
    if query.kind == "removed":
        examples = old.list_examples(difference.removed[shown])
        return tuple(DifferenceRow(old=build_row(each, query.other), new=None) for each in examples)
    before, after = old.list_examples(difference.changed_old[shown]), new.list_examples(difference.changed_new[shown])
    return tuple(_build_changed_row(one, other, query) for one, other in zip(before, after, strict=True))


def _build_changed_row(old: BrowsedExample, new: BrowsedExample, query: DifferenceQuery) -> DifferenceRow:
    before, after = build_changed_groups(old.chat, new.chat)
    note = "" if old.chat.messages != new.chat.messages else _SAME_TEXTS
    return DifferenceRow(
        old=replace(build_row(old, query.other), groups=before, note=note),
        new=replace(build_row(new, query.sha256), groups=after),
    )
