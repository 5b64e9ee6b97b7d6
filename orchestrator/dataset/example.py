"""Example: one line of the dataset, and where it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.core.finding import Finding
from orchestrator.core.printable import printable
from orchestrator.dataset.codes import Code

MESSAGE_LIMIT, PATH_LIMIT = 400, 500  # characters

Steps = tuple[str | int, ...]
Where = Callable[[Steps], tuple[int | None, str]]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong inside an example: `steps` lead there in its body, as in `("messages", 3, "role")`."""

    code: Code
    steps: Steps
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
    body: Body
    where: Where
    left_out: tuple[str, ...] = ()
    user: str = ""

    def finding(self, fault: Fault) -> Finding:
        """The fault in the terms of the source: its file, line and JSON path."""
        line, path = self.where(fault.steps)
        return finding(fault.code, self.file, fault.message, line=line or self.line, path=path, hint=fault.hint)


def finding(
    code: Code, file: str, message: str, *, line: int | None = None, path: str | None = None, hint: str = ""
) -> Finding:
    """A finding with its code's severity and, unless a better one is given, its code's hint."""
    return Finding(
        code=code.slug,
        severity=code.severity,
        file=printable(file),
        line=line,
        path=printable(_cut(path, PATH_LIMIT)) if path is not None else None,
        message=printable(_cut(message, MESSAGE_LIMIT)),
        hint=hint or code.hint,
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def json_path(steps: Steps, root: str = "$") -> str:
    """`("messages", 3, "role")` as `$.messages[3].role`."""
    return root + "".join(_step(step) for step in steps)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{step!r}]"
