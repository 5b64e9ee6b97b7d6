"""Findings: the problems that the check reports about the chats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, Self

from orchestrator.core.structs import Struct, asdict

MAX_FINDINGS_PER_CODE: Final = 20  # findings that are stored of each code


class Severity(StrEnum):
    """An error makes the dataset unusable; a warning is advice."""

    ERROR = "error"
    WARNING = "warning"


class Finding(Struct, frozen=True, kw_only=True):
    """One problem: what is wrong, where, and what to do about it. The field names are stored and part of the JSON."""

    code: str  # slug of a FindingCode
    severity: Severity
    file: str
    message: str
    hint: str  # how to fix it
    line: int | None = None  # in the file on disk, from 1; None where it has no meaning
    path: str | None = None  # JSON path inside the chat or the line: `$[3].role`, `$.messages[0].content`


class FindingSummary(Struct, frozen=True):
    """The findings about a dataset as they are stored."""

    counts: Mapping[str, int]  # number of findings by code
    first: tuple[Finding, ...]  # the first MAX_FINDINGS_PER_CODE of each code

    @classmethod
    def from_findings(cls, findings: Iterable[Finding], counts: Mapping[str, int]) -> Self:
        """Build a summary. `counts` also counts the findings that are not in `findings`."""
        kept: Counter[str] = Counter()
        first = []
        for finding in findings:
            kept[finding.code] += 1
            if kept[finding.code] <= MAX_FINDINGS_PER_CODE:
                first.append(finding)
        return cls(dict(counts), tuple(first))

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for the database."""
        return {"counts": dict(self.counts), "first": [asdict(finding) for finding in self.first]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a summary from the values of `as_dict`."""
        first = (Finding(**{**one, "severity": Severity(one["severity"])}) for one in values["first"])
        return cls(dict(values["counts"]), tuple(first))
