"""The examples of the dataset page: search, filter and pages, and the distributions of tokens, turns and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import urlencode

from orchestrator.core.text import format_count, format_number, format_usd
from orchestrator.dataset.browse.chat_view import ChatView
from orchestrator.dataset.browse.example_index import IndexTotals, get_bar_width
from orchestrator.dataset.browse.example_library import BrowsedExample, OpenDataset, SearchResult
from orchestrator.dataset.summary import LengthHistogram

EXAMPLES_PER_PAGE: Final = 10
_MAX_TEXT_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleQuery:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """One example."""

    number: int
    summary: str
    findings: tuple[str, ...]
    chat: ChatView


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of a histogram. Lengths are in units of the drawing, 0 to 100."""

    x: int
    y: float
    height: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A histogram, and the same numbers as rows of a table."""

    title: str
    unit: str
    note: str
    bars: tuple[Bar, ...]
    first: str
    last: str
    highest: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamplesView:
    """View of the examples. `problem` is why they are not shown."""

    query: ExampleQuery
    match_count: int = 0
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
    partial = f"The search stopped after {format_number(found.scanned)} of {format_count(size, 'example')}."
    return ExamplesView(
        query=replace(query, page=page),
        match_count=total,
        page_count=page_count,
        first_row=start + 1,
        rows=tuple(map(build_row, dataset.list_examples(found.numbers[start : start + EXAMPLES_PER_PAGE]))),
        findings=tuple(sorted(totals.findings.items())),
        partial="" if found.complete else partial,
        histograms=build_histograms(totals, usd),
    )


def build_row(example: BrowsedExample) -> ExampleRow:
    """Build the row of one example."""
    return ExampleRow(
        number=example.number,
        summary=f"{format_count(example.tokens, 'token')} · {format_count(example.turns, 'turn')}",
        findings=example.findings,
        chat=example.chat,
    )


def build_histograms(totals: IndexTotals, usd: float | None) -> tuple[Histogram, ...]:
    """Build the histograms of tokens and turns. The cost of a bar is its share of all tokens times the price."""
    tokens, turns = totals.token_lengths, totals.turns
    if not totals.examples:
        return ()
    shares = [count / max(totals.tokens, 1) for count in totals.tokens_by_bar]
    costs = [f"{share:.1%}" + ("" if usd is None else f", {format_usd(share * usd)}") for share in shares]
    note = "Estimated where the provider documents no exact count. " if totals.estimated else ""
    cost_head = "Share of tokens" if usd is None else "Share of tokens and planned price"
    price = "The price is not known." if usd is None else f"Planned price of the newest run: {format_usd(usd)}."
    return (
        _build_histogram("Tokens per example", "tokens", tokens, f"{note}{price}", (cost_head, costs)),
        _build_histogram("Turns per example", "turns", turns, "A turn is a user message with its answers.", None),
    )


def _build_histogram(
    title: str, unit: str, histogram: LengthHistogram, note: str, extra: tuple[str, list[str]] | None
) -> Histogram:
    step, top = get_bar_width(histogram), max(histogram.counts)
    ranges = [_format_range(bound, step) for bound in histogram.bounds]
    heights = [max(count * 100 / top, 1.5 if count else 0.0) for count in histogram.counts]
    columns = [ranges, [format_number(count) for count in histogram.counts], *([extra[1]] if extra else [])]
    rows = tuple(zip(*columns, strict=True))
    return Histogram(
        title=title,
        unit=unit,
        note=note,
        bars=tuple(
            Bar(
                x=index,
                y=round(100 - height, 2),
                height=round(height, 2),
                label=f"{row[0]} {unit}: {', '.join(row[1:])}",
            )
            for index, (height, row) in enumerate(zip(heights, rows, strict=True))
        ),
        first=format_number(histogram.bounds[0]),
        last=format_number(histogram.bounds[-1] + step),
        highest=format_number(top),
        head=(unit.capitalize(), "Examples", *([extra[0]] if extra else [])),
        rows=tuple(row for row, count in zip(rows, histogram.counts, strict=True) if count),
    )


def _format_range(bound: int, step: int) -> str:
    return format_number(bound) if step == 1 else f"{format_number(bound)} to {format_number(bound + step - 1)}"
