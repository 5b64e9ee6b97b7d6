"""Found: the findings in the making. All are counted; of each kind enough are kept to work through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.finding import Finding
from orchestrator.core.printable import printable_lines
from orchestrator.dataset.checks.personal import redacted
from orchestrator.dataset.example import Example, Fault

KEPT = 10_000  # of each code; beyond that only the number grows
EXCERPTS = 50  # of each code
AROUND = 160  # characters


@dataclass(slots=True)
class Found:
    """`counts` is by code, `excerpts` is by the finding's place in `findings`."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    excerpts: dict[int, str] = field(default_factory=dict)

    def add(self, finding: Finding, excerpt: str = "") -> None:
        """One more finding, with the text it is about."""
        self.counts[finding.code] += 1
        if self.counts[finding.code] <= KEPT:
            if excerpt and self.counts[finding.code] <= EXCERPTS:
                self.excerpts[len(self.findings)] = excerpt
            self.findings.append(finding)

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
