"""Collects findings: all are counted, and a limited number of each code is kept."""

from __future__ import annotations

from collections import Counter

from orchestrator.core.finding import Finding
from orchestrator.core.structs import Struct, field
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
"""Codes that a file has either not at all or in every line for the same reason: only the first is kept."""

MAX_COLLECTED_PER_CODE = 10_000  # further findings are only counted, so that memory stays bounded
MAX_EXCERPTS_PER_CODE = 50
EXCERPT_CHARACTERS = 160


class FindingCollector(Struct):
    """The findings of one check.

    For the codes in ONCE_PER_FILE_CODES, findings of a file with the same cause are counted, but only the first is
    kept. Findings have the same cause if they have the same specific hint; a finding with the general hint of
    INVALID_JSON may have any cause.
    """

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # all findings by code, kept or not
    excerpts: dict[int, str] = field(default_factory=dict)  # text around a finding, by its index in `findings`
    _causes: set[tuple[str, str, str]] = field(default_factory=set)  # file, code and hint

    def add(self, finding: Finding, excerpt: str = "") -> None:
        """Add a finding, with an excerpt of the text that it is about."""
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
