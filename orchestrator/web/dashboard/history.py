"""History: the list of every run, and the page of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.core.finding import Finding, Findings
from orchestrator.core.lifecycle import State
from orchestrator.status import DatasetView, RunLine, RunView, iso
from orchestrator.web.dashboard.bar import Segment, segments
from orchestrator.web.query import Query
from orchestrator.web.wording import number, plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A run in the list."""

    run: RunView
    current: bool
    href: str
    on: str
    ready: int
    total: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The list."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """All findings of one code."""

    code: str
    count: int
    hint: str
    first: tuple[Finding, ...]

    @property
    def more(self) -> int:
        """How many there are beside those shown."""
        return self.count - len(self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset: its figures, what the check found in it, and its runs, each with its moderation record."""

    sha256: str
    facts: tuple[tuple[str, str], ...]
    validation_sha256: str | None
    lines: tuple[Line, ...]
    checked: bool
    kinds: tuple[Kind, ...]


def runs(listed: tuple[RunLine, ...]) -> Runs:
    """Every run, the newest first."""
    return Runs(lines=tuple(_line(line) for line in listed))


def dataset(seen: DatasetView) -> Dataset:
    """The page of a dataset."""
    row = seen.dataset
    facts = {
        "Examples": number(row.examples),
        "Tokens": "not counted" if row.tokens is None else number(row.tokens),
        "Size": f"{number(row.bytes)} bytes of JSONL",
        "Validation": _validation(row.validation_examples, row.validation_tokens),
        "First used": (iso(row.created_at) or "")[:10],
    }
    return Dataset(
        sha256=row.sha256,
        facts=tuple(facts.items()),
        validation_sha256=row.validation_sha256,
        lines=tuple(_line(line) for line in seen.runs),
        checked=seen.findings is not None,
        kinds=tuple(_kinds(seen.findings)) if seen.findings else (),
    )


def _kinds(findings: Findings) -> Iterator[Kind]:
    for code, count in sorted(findings.counts.items(), key=lambda item: (-item[1], item[0])):
        first = tuple(finding for finding in findings.first if finding.code == code)
        yield Kind(code=code, count=count, hint=first[0].hint if first else "", first=first)


def _line(line: RunLine) -> Line:
    return Line(
        run=line.run,
        current=line.current,
        href="/" if line.current else Query(run=line.run.id).href,
        on=(iso(line.run.created_at) or "").replace("T", " ").replace("+00:00", " UTC"),
        ready=line.counts.get(State.SUCCEEDED, 0),
        total=line.total,
        segments=segments(line.counts),
    )


def _validation(examples: int | None, tokens: int | None) -> str:
    if examples is None:
        return "none set aside"
    return plural(examples, "example") + (f", {number(tokens)} tokens" if tokens is not None else "")
