"""Collects the problems of an accounts file, each with its line, its table and its correction."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.core.text import format_number

MAX_LISTED_PROBLEMS: Final = 1_000  # further ones are counted: the list is stored, logged and shown on the dashboard
MAX_TEXT_CHARACTERS: Final = 1_000  # of one problem, which may quote the file

TablePath = tuple[str | int, ...]  # (), ("run",), ("run", "openai"), ("accounts", 0), ("runs", 0, "openai")

_HEADER_PATTERN = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY_PATTERN = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")


def format_suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "…"?`, or an empty text if no known name is similar."""
    close = get_close_matches(name.lower(), list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


class LineLocator:
    """Finds the line of an option by a text search, which need not understand TOML that nobody writes by hand."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[TablePath, str | None], int] = {}
        table: TablePath = ()
        counts: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER_PATTERN.match(line):
                table = self._table_path(header[1], header[2], counts)
                self._lines.setdefault((table, None), number)
            elif key := _KEY_PATTERN.match(line):
                self._lines.setdefault((table, key[1]), number)

    @staticmethod
    def _table_path(bracket: str, name: str, counts: dict[str, int]) -> TablePath:
        path = tuple(part.strip(" \t\"'") for part in name.split("."))
        if bracket == "[":  # the table [runs.openai] belongs to the latest [[runs]] above it
            return (path[0], counts[path[0]], *path[1:]) if path[0] in counts and path[1:] else path
        index = counts[name] = counts.get(name, -1) + 1
        return (*path, index)

    def find_line(self, table: TablePath, key: str | None = None) -> int | None:
        """Return the line of the option, or of a header in its place, else of its table, else None."""
        for place in ((table, key), ((*table, key), None), ((*table, key, 0), None), (table, None)):
            if place in self._lines:
                return self._lines[place]
        return None


class ProblemCollector:
    """Collects the problems of one file, to raise them together."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._problems: list[tuple[int, str]] = []
        self._names: dict[TablePath, str] = {}

    @cached_property
    def _locator(self) -> LineLocator:
        return LineLocator(self._text)  # built on demand: it grows with the file, and most files have no problem

    def set_name(self, table: TablePath, name: str) -> None:
        """Use this name for a table in all further messages."""
        self._names[table] = name

    def find_line(self, table: TablePath, key: str | None = None) -> int | None:
        return self._locator.find_line(table, key)

    def format_label(self, table: TablePath) -> str:
        """Return the table's name for messages, such as `[run.openai]` or `[[accounts]] acme-eu`."""
        if not table:
            return ""
        if isinstance(table[-1], int):
            return f"[[{table[0]}]] {self._names.get(table, f'number {table[-1] + 1}')}"
        entry = next((table[: place + 1] for place, part in enumerate(table) if isinstance(part, int)), ())
        of = f" of {self._names.get(entry, f'number {int(entry[-1]) + 1}')}" if entry else ""
        return f"[{'.'.join(part for part in table if isinstance(part, str))}]{of}"

    def add(self, table: TablePath, key: str | None, text: str) -> None:
        """Add a problem with an option. `text` says what is wrong and what to do."""
        line = self.find_line(table, key)
        place = f"{self._path.name}:{line}" if line else self._path.name
        self._problems.append((line or 0, ": ".join(filter(None, (place, self.format_label(table), key, text)))))

    def raise_if_any(self) -> None:
        """Raise one ConfigError with all problems, in the order of the file."""
        if not self._problems:
            return
        count = len(self._problems)
        texts = [text for _, text in sorted(self._problems, key=lambda problem: problem[0])]
        shown = [text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]}…" for text in texts]
        if count > MAX_LISTED_PROBLEMS:
            rest = format_number(count - MAX_LISTED_PROBLEMS)
            shown[MAX_LISTED_PROBLEMS:] = [f"{self._path.name}: and {rest} more problems"]
        raise ConfigError(
            f"{self._path} has {'a problem' if count == 1 else f'{count} problems'}",
            hint="Correct the listed lines and start again; accounts.example.toml explains every option.",
            problems=shown,
        )
