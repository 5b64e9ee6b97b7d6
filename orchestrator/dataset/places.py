"""Places: from a value back to its line on disk. A line inside a document is looked for only when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.dataset.careful import parse
from orchestrator.dataset.example import Steps, json_path


class Text:
    """A text that is one JSON value and begins at `line` of its file."""

    def __init__(self, text: bytes, line: int) -> None:
        self.line = line
        self._text = text

    def line_of(self, steps: Steps) -> int:
        """The line of a value; what is not there stands where its parent does."""
        if b"\n" not in self._text:
            return self.line
        parents = (json_path(steps[:size]) for size in range(len(steps), -1, -1))
        inner = next((self._lines[path] for path in parents if path in self._lines), 1)
        return self.line + inner - 1

    @cached_property
    def _lines(self) -> dict[str, int]:
        return parse(self._text.decode("utf-8", "surrogatepass")).lines


@dataclass(frozen=True, slots=True)
class Document:
    """A chat that is the whole of a text; `root` is where the text stands in its file's document."""

    text: Text
    root: Steps = field(default=())

    def of(self, steps: Steps) -> tuple[int, str]:
        """Line and JSON path."""
        return self.text.line_of(steps), json_path(self.root + steps)


@dataclass(frozen=True, slots=True)
class Rows:
    """A chat of several lines: the first step is the row, the JSON path begins inside it."""

    lines: Sequence[int]

    def of(self, steps: Steps) -> tuple[int, str]:
        """Line and JSON path."""
        match steps:
            case (int(row), *inner):
                return self.lines[row], json_path(tuple(inner))
            case _:
                return self.lines[0], "$"
