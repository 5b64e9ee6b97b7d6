"""Places: from a value back to its line on disk. A line inside a document is looked for only when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.dataset.example import KeyPath, format_json_path
from orchestrator.dataset.read.json_diagnostics import parse_with_diagnostics


class JsonText:
    """A text that is one JSON value and begins at `line` of its file."""

    def __init__(self, text: bytes, line: int) -> None:
        self.line = line
        self._text = text

    def find_line(self, key_path: KeyPath) -> int:
        """The line of a value; what is not there stands where its parent does."""
        if b"\n" not in self._text:
            return self.line
        parents = (format_json_path(key_path[:size]) for size in range(len(key_path), -1, -1))
        inner = next((self._lines_by_path[path] for path in parents if path in self._lines_by_path), 1)
        return self.line + inner - 1

    @cached_property
    def _lines_by_path(self) -> dict[str, int]:
        return parse_with_diagnostics(self._text.decode("utf-8", "surrogatepass")).lines


@dataclass(frozen=True, slots=True)
class DocumentSourceMap:
    """A chat that is the whole of a text; `root` is where the text stands in its file's document."""

    text: JsonText
    root: KeyPath = field(default=())

    def locate(self, key_path: KeyPath) -> tuple[int, str]:
        """Line and JSON path."""
        return self.text.find_line(key_path), format_json_path(self.root + key_path)


@dataclass(frozen=True, slots=True)
class RowsSourceMap:
    """A chat of several lines: the first step is the row, the JSON path begins inside it."""

    lines: Sequence[int]

    def locate(self, key_path: KeyPath) -> tuple[int, str]:
        """Line and JSON path."""
        match key_path:
            case (int(row), *inner):
                return self.lines[row], format_json_path(tuple(inner))
            case _:
                return self.lines[0], "$"
