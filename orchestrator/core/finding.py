"""Finding: one thing the check found in the chats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

MAX_FINDINGS_PER_CODE: Final = 20  # findings of each code


class Severity(StrEnum):
    """An error stops the dataset; a warning is advice."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, where, and what to do about it.

    `line` counts from 1 in the file as it lies on disk; `path` is a JSON path inside the chat or the line
    (`$[3].role`, `$.messages[0].content`). Either is None where it has no meaning.
    """

    code: str
    severity: Severity
    file: str
    message: str
    hint: str
    line: int | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class FindingSummary:
    """What is remembered of the findings about a dataset: how many of each code, and the first of each."""

    counts: Mapping[str, int]
    first: tuple[Finding, ...]

    @classmethod
    def from_findings(cls, findings: Iterable[Finding], counts: Mapping[str, int]) -> Self:
        """`counts` says how many there are of each code, also of those that were not kept."""
        seen: Counter[str] = Counter()
        first = []
        for finding in findings:
            seen[finding.code] += 1
            if seen[finding.code] <= MAX_FINDINGS_PER_CODE:
                first.append(finding)
        return cls(dict(counts), tuple(first))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the database."""
        return {"counts": dict(self.counts), "first": [asdict(finding) for finding in self.first]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        first = (Finding(**{**one, "severity": Severity(one["severity"])}) for one in values["first"])
        return cls(dict(values["counts"]), tuple(first))
