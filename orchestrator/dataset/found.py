"""Found: the findings in the making. All are counted; of each kind enough are kept to work through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.finding import Finding
from orchestrator.core.printable import printable_lines
from orchestrator.dataset.checks.personal import redacted
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Example, Fault

ONCE = frozenset(
    code.slug for code in (Code.COMMA_AFTER_LINE, Code.FOREIGN_FORMAT, Code.INVALID_JSON, Code.UNUSED_RATING)
)
"""Codes of which a file has either none or one in every line, for the same reason: the first says it all."""

KEPT = 10_000  # of each code; beyond that only the number grows
EXCERPTS = 50  # of each code
AROUND = 160  # characters


@dataclass(slots=True)
class Found:
    """`counts` is by code, `excerpts` is by the finding's place in `findings`.

    Of the codes in `ONCE` the findings of a file that have the same cause are counted, but only the first is kept. A
    cause is named by a hint of its own; a finding with its code's general hint may have any cause.
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
        if self.counts[finding.code] <= KEPT:
            if excerpt and self.counts[finding.code] <= EXCERPTS:
                self.excerpts[len(self.findings)] = excerpt
            self.findings.append(finding)

    def _is_repeated(self, finding: Finding) -> bool:
        if finding.code not in ONCE or finding.hint == Code.INVALID_JSON.hint:
            return False
        cause = (finding.file, finding.code, finding.hint)
        if cause in self._causes:
            return True
        self._causes.add(cause)
        return False

    def add_fault(self, example: Example, fault: Fault) -> None:
        """A fault of an example."""
        found = example.finding(fault)
        kept = self.counts[found.code] < EXCERPTS
        self.add(found, _excerpt(example.body, fault) if kept else "")


def _excerpt(body: Any, fault: Fault) -> str:
    """The text at the fault's place, or nearest above it; what is private is hidden, long texts lose their middle."""
    value, text = body, ""
    for step in fault.steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
        inner = value.get("content") if isinstance(value, dict) else value
        text = inner if isinstance(inner, str) else text
    text = printable_lines(redacted(text))
    return text if len(text) <= AROUND else f"{text[: AROUND // 2]} … {text[-AROUND // 2 :]}"
