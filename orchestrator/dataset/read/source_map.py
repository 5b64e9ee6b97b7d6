"""Maps a key path of a parsed chat back to its line and JSON path in the source file.

The line of a value inside a document is computed only when a finding needs it, because that means to parse the text
again with `json_diagnostics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from orchestrator.core.structs import Struct, field
from orchestrator.dataset.example import KeyPath, format_json_path
from orchestrator.dataset.read.json_diagnostics import parse_with_diagnostics


class JsonText:
    """A text that is one JSON value and starts at `line` of its file."""

    def __init__(self, text: bytes, line: int) -> None:
        self.line = line
        self._text = text

    def find_line(self, key_path: KeyPath) -> int:
        """Return the line of the value, or of the nearest parent if the value is missing."""
        if b"\n" not in self._text:
            return self.line
        parents = (format_json_path(key_path[:size]) for size in range(len(key_path), -1, -1))
        inner = next((self._lines_by_path[path] for path in parents if path in self._lines_by_path), 1)
        return self.line + inner - 1

    @cached_property
    def _lines_by_path(self) -> dict[str, int]:
        return parse_with_diagnostics(self._text.decode("utf-8", "surrogatepass")).lines


class DocumentSourceMap(Struct, frozen=True):
    """The source map of a chat that is one text; `root` is the key path of the text in its document."""

    text: JsonText
    root: KeyPath = field(default=())

    def locate(self, key_path: KeyPath) -> tuple[int, str]:
        """Return the line and the JSON path of a value."""
        return self.text.find_line(key_path), format_json_path(self.root + key_path)


class RowsSourceMap(Struct, frozen=True):
    """The source map of a chat of several lines: the first key is the row, the JSON path starts inside it."""

    lines: Sequence[int]

    def locate(self, key_path: KeyPath) -> tuple[int, str]:
        """Return the line and the JSON path of a value."""
        match key_path:
            case (int(row), *inner):
                return self.lines[row], format_json_path(tuple(inner))
            case _:
                return self.lines[0], "$"
