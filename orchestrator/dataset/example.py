"""An example: one line of the dataset, with the way back to its place in the source file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.core.finding import Finding
from orchestrator.core.structs import Struct
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.dataset.finding_codes import FindingCode

MAX_MESSAGE_CHARACTERS, MAX_PATH_CHARACTERS = 400, 500  # of a finding; texts from the data may be huge

KeyPath = tuple[str | int, ...]
"""Keys and indexes that lead from the root of a JSON value to a value in it, such as `("messages", 3, "role")`."""

SourceLocator = Callable[[KeyPath], tuple[int | None, str]]
"""Returns the line (None if unknown) and the JSON path in the source file for a key path in an example's body."""

ExampleBody = dict[str, Any]
"""A chat or a preference pair in the providers' format, as a JSON object."""


class ExampleIssue(Struct, frozen=True):
    """A problem inside an example; `Example.to_finding` turns it into a finding about the source file."""

    code: FindingCode
    key_path: KeyPath  # of the value in the example's body
    message: str
    hint: str = ""  # "": the hint of the code


class Example(Struct, frozen=True):
    """One example of the dataset."""

    file: str  # name of the source file, as findings show it
    line: int  # where it starts in the file, from 1
    format: str  # name of the format that it was read in
    body: ExampleBody
    locate: SourceLocator
    left_out: tuple[str, ...] = ()  # data of the source that is not part of the training format, by kind
    user_name: str = ""  # the user's name, if the source gives it

    def to_finding(self, issue: ExampleIssue) -> Finding:
        """Create the finding about an issue, with the file, line and JSON path of the source."""
        line, path = self.locate(issue.key_path)
        return create_finding(
            issue.code, self.file, issue.message, line=line or self.line, path=path, hint=issue.hint
        )


def create_finding(
    code: FindingCode, file: str, message: str, *, line: int | None = None, path: str | None = None, hint: str = ""
) -> Finding:
    """Create a finding with the severity of its code and, without a `hint`, the hint of its code."""
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
    """Format the key path `("messages", 3, "role")` as `$.messages[3].role`."""
    return root + "".join(_format_key(key) for key in key_path)


def _format_key(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() else f"[{key!r}]"
