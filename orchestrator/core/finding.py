"""Finding: one thing the check found in the chats."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
