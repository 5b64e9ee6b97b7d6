"""The examples of the dataset page: search, filter and pages, and the distributions of tokens, turns and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import urlencode

from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count, format_number, format_usd
from orchestrator.dataset.browse.chat_display import MessageGroup, build_groups
from orchestrator.dataset.browse.chat_view import ChatTool
from orchestrator.dataset.browse.example_library import BrowsedExample, OpenDataset
from orchestrator.dataset.browse.example_search import SearchResult
from orchestrator.dataset.browse.histogram import Histogram, build_histograms
from orchestrator.dataset.finding_codes import FindingCode

_MEANINGS: Final = {code.slug: code.meaning for code in FindingCode}
EXAMPLES_PER_PAGE: Final = 10
_MAX_TEXT_CHARACTERS: Final = 200


class ExampleQuery(Struct, frozen=True, kw_only=True):
    """Search text, finding and page of the examples."""

    sha256: str
    text: str = ""
    finding: str = ""
    page: int = 1

    @classmethod
    def from_parameters(cls, sha256: str, parameters: Mapping[str, str]) -> Self:
        """Parse the parameters of a URL; a malformed page number counts as page 1."""
        return cls(
            sha256=sha256,
            text=parameters.get("q", "").strip()[:_MAX_TEXT_CHARACTERS],
            finding=parameters.get("finding", ""),
            page=parse_page(parameters.get("page", "")),
        )

    @property
    def is_narrowing(self) -> bool:
        """Whether the query excludes anything."""
        return bool(self.text or self.finding)

    def href_for(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        values = {"q": self.text, "finding": self.finding, "page": str(page) if page > 1 else ""}
        filled = {name: value for name, value in values.items() if value}
        return f"/datasets/{self.sha256}" + (f"?{urlencode(filled)}" if filled else "") + "#examples"


class FindingLink(Struct, frozen=True, kw_only=True):
    """A finding of an example, its meaning, and the URL of all examples with it."""

    code: str
    meaning: str
    href: str


class ExampleRow(Struct, frozen=True, kw_only=True):
    """One example. `note` is a remark above the messages."""

    number: int
    summary: str
    findings: tuple[FindingLink, ...]
    tools: tuple[ChatTool, ...]
    groups: tuple[MessageGroup, ...]
    hidden_count: int
    note: str = ""


class ExamplesView(Struct, frozen=True, kw_only=True):
    """View of the examples. `problem` is why they are not shown."""

    query: ExampleQuery
    match_count: int = 0
    total: int = 0
    page_count: int = 1
    first_row: int = 1
    rows: tuple[ExampleRow, ...] = ()
    findings: tuple[tuple[str, int], ...] = ()
    partial: str = ""
    problem: str = ""
    histograms: tuple[Histogram, ...] = ()

    def page_href(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        return self.query.href_for(page)

    @property
    def filters(self) -> tuple[tuple[str, str, str], ...]:
        """The name, the text and the URL without it of each filter."""
        query = self.query
        names = (("q", f'"{query.text}"', query.text), ("finding", query.finding, query.finding))
        return tuple(
            (name, text, replace(query, page=1, **{"text" if name == "q" else name: ""}).href_for(1))
            for name, text, value in names
            if value
        )


def parse_page(text: str) -> int:
    """Return the page number; 1 if it is malformed."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def build_unavailable_view(query: ExampleQuery, problem: str) -> ExamplesView:
    """Build the view of a dataset whose examples cannot be shown."""
    return ExamplesView(query=query, problem=problem)


def build_examples_view(
    dataset: OpenDataset, found: SearchResult, query: ExampleQuery, usd: float | None
) -> ExamplesView:
    """Build the requested page of the examples, or the last one. `usd` is the planned price of the newest run."""
    total, page_count = len(found.numbers), max(1, -(-len(found.numbers) // EXAMPLES_PER_PAGE))
    page = min(query.page, page_count)
    start = (page - 1) * EXAMPLES_PER_PAGE
    totals = dataset.index.totals
    size = len(dataset.index)
    return ExamplesView(
        query=replace(query, page=page),
        match_count=total,
        page_count=page_count,
        first_row=start + 1,
        total=size,
        rows=tuple(
            build_row(example, query.sha256, query.text)
            for example in dataset.list_examples(found.numbers[start : start + EXAMPLES_PER_PAGE])
        ),
        findings=tuple(sorted(totals.findings.items())),
        partial=describe_progress(found, size),
        histograms=build_histograms(
            totals.tokens, totals.turns, usd=usd, price_note=describe_price(usd), estimated=totals.estimated
        ),
    )


def build_row(example: BrowsedExample, sha256: str, search: str = "") -> ExampleRow:
    """Build the row of one example."""
    return ExampleRow(
        number=example.number,
        summary=f"{format_count(example.tokens, 'token')} · {format_count(example.turns, 'turn')}",
        findings=tuple(
            FindingLink(
                code=code,
                meaning=_MEANINGS.get(code, ""),  # an index of an earlier version may have other codes
                href=ExampleQuery(sha256=sha256, finding=code).href_for(1),
            )
            for code in example.findings
        ),
        tools=example.chat.tools,
        groups=build_groups(example.chat, search),
        hidden_count=example.chat.hidden_count,
    )


def describe_progress(found: SearchResult, size: int) -> str:
    """Return the sentence about a search that is not complete; empty if it is."""
    if found.complete:
        return ""
    scanned = f"{format_number(found.scanned)} of {format_count(size, 'example')}"
    if found.is_running:
        return f"The search continues: {scanned} so far. This page updates itself."
    return f"The search stopped after {scanned}. The result is partial: search for a rarer text or filter by finding."


def describe_price(usd: float | None) -> str:
    """Return the sentence below the histogram of the cost."""
    if usd is None:
        return "The planned price is not known. A provider that bills tokens bills these shares."
    return f"Planned price of the newest run, for all of its accounts: {format_usd(usd)}."
