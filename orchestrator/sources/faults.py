"""Faults: everything wrong with an accounts file, each with its line, its table and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from orchestrator.core.errors import ConfigError

Table = tuple[str | int, ...]  # (), ("run",), ("run", "openai"), ("accounts", 0)

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?`, or nothing."""
    close = get_close_matches(name.lower(), list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


class Locator:
    """Finds the line of an option. A small text search: it need not be right for TOML nobody writes by hand."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[Table, str | None], int] = {}
        table: Table = ()
        counts: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = self._table(header[1], header[2], counts)
                self._lines.setdefault((table, None), number)
            elif key := _KEY.match(line):
                self._lines.setdefault((table, key[1]), number)

    @staticmethod
    def _table(bracket: str, name: str, counts: dict[str, int]) -> Table:
        path = tuple(part.strip(" \t\"'") for part in name.split("."))
        if bracket == "[":
            return path
        index = counts[name] = counts.get(name, -1) + 1
        return (*path, index)

    def line(self, table: Table, key: str | None = None) -> int | None:
        """The line of the option (or of the header it has become), else of its table, else None."""
        for place in ((table, key), ((*table, key), None), ((*table, key, 0), None), (table, None)):
            if place in self._lines:
                return self._lines[place]
        return None


class Faults:
    """Collects the faults of one file, to be raised together."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._found: list[tuple[int, str]] = []
        self._names: dict[Table, str] = {}

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self._text)  # as large as the file's options are many, and most files have no fault

    def name(self, table: Table, name: str) -> None:
        """Call this table by a name in messages from now on."""
        self._names[table] = name

    def line(self, table: Table, key: str | None = None) -> int | None:
        return self._locator.line(table, key)

    def label(self, table: Table) -> str:
        """The table as the operator knows it: `[run.openai]`, `[[accounts]] acme-eu`."""
        if not table:
            return ""
        if isinstance(table[-1], int):
            return f"[[{table[0]}]] {self._names.get(table, f'number {table[-1] + 1}')}"
        return f"[{'.'.join(str(part) for part in table)}]"

    def add(self, table: Table, key: str | None, text: str) -> None:
        """One fault: what is wrong with this option and what to do."""
        line = self.line(table, key)
        place = f"{self._path.name}:{line}" if line else self._path.name
        self._found.append((line or 0, ": ".join(filter(None, (place, self.label(table), key, text)))))

    def raise_if_any(self) -> None:
        """Raise one ConfigError for all that was found, in the order of the file."""
        if not self._found:
            return
        count = len(self._found)
        raise ConfigError(
            f"{self._path} has {'a fault' if count == 1 else f'{count} faults'}",
            hint="Correct what is listed and start again; accounts.example.toml explains every option.",
            problems=[text for _, text in sorted(self._found, key=lambda found: found[0])],
        )
