"""Form: how findings are printed."""

from __future__ import annotations

from enum import StrEnum


class FindingFormat(StrEnum):
    """For people, for programs, and for code review tools (SARIF 2.1.0)."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
