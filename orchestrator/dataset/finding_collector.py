"""Found: the findings in the making. All are counted; of each kind enough are kept to work through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.finding import Finding
from orchestrator.core.text_sanitizer import sanitize_lines
from orchestrator.dataset.checks.pii import redact_text
from orchestrator.dataset.example import Example, ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode

ONCE_PER_FILE_CODES = frozenset(
    code.slug
    for code in (
        FindingCode.COMMA_AFTER_LINE,
        FindingCode.FOREIGN_FORMAT,
        FindingCode.INVALID_JSON,
        FindingCode.UNUSED_RATING,
    )
)
"""Codes of which a file has either none or one in every line, for the same reason: the first says it all."""

MAX_COLLECTED_PER_CODE = 10_000  # of each code; beyond that only the number grows
MAX_EXCERPTS_PER_CODE = 50  # of each code
EXCERPT_CHARACTERS = 160  # characters


@dataclass(slots=True)
class FindingCollector:
    """`counts` is by code, `excerpts` is by the finding's place in `findings`.

    Of the codes in `ONCE_PER_FILE_CODES` the findings of a file that have the same cause are counted, but only the
    first is kept. A cause is named by a hint of its own; a finding with its code's general hint may have any cause.
    """

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    excerpts: dict[int, str] = field(default_factory=dict)
    _causes: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, finding: Finding, excerpt: str = "") -> None:
        """One more finding, with the text it is about."""
        self.counts[finding.code] += 1
        if self._is_repeated(finding):
            return
        if self.counts[finding.code] <= MAX_COLLECTED_PER_CODE:
            if excerpt and self.counts[finding.code] <= MAX_EXCERPTS_PER_CODE:
                self.excerpts[len(self.findings)] = excerpt
            self.findings.append(finding)

    def _is_repeated(self, finding: Finding) -> bool:
        if finding.code not in ONCE_PER_FILE_CODES or finding.hint == FindingCode.INVALID_JSON.hint:
            return False
        cause = (finding.file, finding.code, finding.hint)
        if cause in self._causes:
            return True
        self._causes.add(cause)
        return False

    def add_issue(self, example: Example, issue: ExampleIssue) -> None:
        """A issue of an example."""
        finding = example.to_finding(issue)
        kept = self.counts[finding.code] < MAX_EXCERPTS_PER_CODE
        self.add(finding, _build_excerpt(example.body, issue) if kept else "")


def _build_excerpt(body: Any, issue: ExampleIssue) -> str:
    """The text at the issue's place, or nearest above it; what is private is hidden, long texts lose their middle."""
    value, text = body, ""
    for step in issue.key_path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
        inner = value.get("content") if isinstance(value, dict) else value
        text = inner if isinstance(inner, str) else text
    text = sanitize_lines(redact_text(text))
    return (
        text
        if len(text) <= EXCERPT_CHARACTERS
        else f"{text[: EXCERPT_CHARACTERS // 2]} … {text[-EXCERPT_CHARACTERS // 2 :]}"
    )
