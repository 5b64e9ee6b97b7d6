"""The list of runs, and the page of a dataset."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.core.finding import Finding, FindingSummary
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_count, format_number, format_time, format_timestamp
from orchestrator.status import DatasetView, RunListItem, RunView
from orchestrator.web.dashboard.examples_view import ExamplesView
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.dashboard.state_display import BarSegment, build_segments


class RunRow(Struct, frozen=True, kw_only=True):
    """Row of the table of runs."""

    run: RunView
    current: bool
    href: str
    created: str
    ready: int
    total: int
    segments: tuple[BarSegment, ...]


class RunListPage(Struct, frozen=True, kw_only=True):
    """View of the list of runs."""

    rows: tuple[RunRow, ...]


class FindingGroup(Struct, frozen=True, kw_only=True):
    """All findings with the same code."""

    code: str
    count: int
    hint: str
    first: tuple[Finding, ...]

    @property
    def hidden_count(self) -> int:
        """Number of findings that are not shown."""
        return self.count - len(self.first)


class DatasetPage(Struct, frozen=True, kw_only=True):
    """View of the page of a dataset: size, findings, and its runs with their moderation records."""

    sha256: str
    facts: tuple[tuple[str, str], ...]
    validation_sha256: str | None
    rows: tuple[RunRow, ...]
    checked: bool
    finding_groups: tuple[FindingGroup, ...]
    examples: ExamplesView | None = None
    previous_sha256: str | None = None  # dataset of the previous run


def build_run_list_page(summaries: tuple[RunListItem, ...]) -> RunListPage:
    """Build the list of runs, newest first."""
    has_several = sum(item.current for item in summaries) > 1
    return RunListPage(rows=tuple(_build_row(item, has_several_current=has_several) for item in summaries))


def build_dataset_page(view: DatasetView) -> DatasetPage:
    """Build the page of a dataset."""
    row = view.dataset
    facts = {
        "Examples": format_number(row.examples),
        "Tokens": "not counted" if row.tokens is None else format_number(row.tokens),
        "Size": f"{format_count(row.bytes, 'byte')} of JSONL",
        "Validation": _format_validation(row.validation_examples, row.validation_tokens),
        "First used": format_time(row.created_at),
    }
    return DatasetPage(
        sha256=row.sha256,
        facts=tuple(facts.items()),
        validation_sha256=row.validation_sha256,
        rows=tuple(_build_row(item) for item in view.runs),
        checked=view.findings is not None,
        finding_groups=tuple(_group_findings(view.findings)) if view.findings else (),
    )


def _group_findings(findings: FindingSummary) -> Iterator[FindingGroup]:
    for code, count in sorted(findings.counts.items(), key=lambda item: (-item[1], item[0])):
        first = tuple(finding for finding in findings.first if finding.code == code)
        yield FindingGroup(code=code, count=count, hint=first[0].hint if first else "", first=first)


def _build_row(summary: RunListItem, *, has_several_current: bool = True) -> RunRow:
    return RunRow(
        run=summary.run,
        current=summary.current,
        href="/" if summary.current and not has_several_current else PageQuery(run=summary.run.id).href,
        created=format_timestamp(summary.run.created_at),
        ready=summary.counts.get(JobState.SUCCEEDED, 0),
        total=summary.total,
        segments=build_segments(summary.counts),
    )


def _format_validation(examples: int | None, tokens: int | None) -> str:
    if examples is None:
        return "no validation split"
    return format_count(examples, "example") + (f", {format_count(tokens, 'token')}" if tokens is not None else "")
