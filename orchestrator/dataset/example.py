"""Example: one line of the dataset, and where it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.core.finding import Finding
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.dataset.finding_codes import FindingCode

MAX_MESSAGE_CHARACTERS, MAX_PATH_CHARACTERS = 400, 500  # characters

KeyPath = tuple[str | int, ...]
SourceLocator = Callable[[KeyPath], tuple[int | None, str]]
ExampleBody = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExampleIssue:
    """What is wrong inside an example: `key_path` lead there in its body, as in `("messages", 3, "role")`."""

    code: FindingCode
    key_path: KeyPath
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One example. `body` is in the providers' shape; `where` leads from a place in it back to the source.

    `line` is where it starts in its file, counted from 1. `left_out` names what the shape has no place for, `user`
    is the user's name where the source says it.
    """

    file: str
    line: int
    format: str
    body: ExampleBody
    locate: SourceLocator
    left_out: tuple[str, ...] = ()
    user_name: str = ""

    def to_finding(self, issue: ExampleIssue) -> Finding:
        """The issue in the terms of the source: its file, line and JSON path."""
        line, path = self.locate(issue.key_path)
        return create_finding(
            issue.code, self.file, issue.message, line=line or self.line, path=path, hint=issue.hint
        )


def create_finding(
    code: FindingCode, file: str, message: str, *, line: int | None = None, path: str | None = None, hint: str = ""
) -> Finding:
    """A finding with its code's severity and, unless a better one is given, its code's hint."""
    return Finding(
        code=code.slug,
        severity=code.severity,
        file=sanitize_line(file),
        line=line,
        path=sanitize_line(_truncate(path, MAX_PATH_CHARACTERS)) if path is not None else None,
        message=sanitize_line(_truncate(message, MAX_MESSAGE_CHARACTERS)),
        hint=hint or code.hint,
    )


def _truncate(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def format_json_path(key_path: KeyPath, root: str = "$") -> str:
    """`("messages", 3, "role")` as `$.messages[3].role`."""
    return root + "".join(_format_key(step) for step in key_path)


def _format_key(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{step!r}]"
