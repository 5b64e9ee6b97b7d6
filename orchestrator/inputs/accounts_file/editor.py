"""Adds and removes `[[accounts]]` entries in the text of an accounts file."""

# Theory of operation
#
# The text is edited by lines and not by rewriting the parsed document, so that every other byte stays: comments,
# order, blank lines, line endings, the end of the file. An entry is its header, the comment directly above it after a
# blank line, and the lines below it; what follows a blank line and is only a comment belongs to the file.
#
# Lines alone do not show where an entry ends: a list may contain blank lines, and a text may contain a header. So
# each edit tries the ends of the paragraphs one after the other, and takes the first for which the result, parsed as
# TOML, has exactly the expected values. If none has, the edit is refused and nothing is written.

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.core.errors import ConfigError
from orchestrator.core.text_sanitizer import sanitize_json
from orchestrator.inputs.accounts_file.document import Options
from orchestrator.inputs.accounts_file.problems import format_suggestion

_HEADER_PATTERN = re.compile(r"\s*\[")
_ACCOUNT_HEADER_PATTERN = re.compile(r"""\s*\[\[\s*["']?accounts["']?\s*\]\]""")


def format_toml_value(value: Any) -> str:
    """Format a text, number, boolean or list for TOML. For these types, JSON has the same syntax."""
    return sanitize_json(json.dumps(value, ensure_ascii=False))


def format_account(options: Mapping[str, Any]) -> list[str]:
    """Return the lines of an `[[accounts]]` entry."""
    return ["[[accounts]]", *(f"{name} = {format_toml_value(value)}" for name, value in options.items())]


def add_account(text: str, options: Mapping[str, Any]) -> str:
    """Return the text with an entry after the last account. Raises ConfigError for a name that is in use."""
    values = tomllib.loads(text)
    accounts = values.get("accounts", [])
    names = [account["name"] for account in accounts]
    if options["name"] in names:
        raise ConfigError(
            f"the accounts file already has an account {options['name']!r}",
            hint="Choose another name, or remove that account first: `orchestrator account remove NAME`.",
        )
    expected = {**values, "accounts": [*accounts, dict(options)]}
    lines = _Lines(text)
    for end in lines.list_entry_ends(len(accounts) - 1, len(accounts)):
        edited = lines.insert(end, ["", *format_account(options)])
        if _has_values(edited, expected):
            return edited
    raise _edit_refused()


def remove_account(text: str, name: str) -> str:
    """Return the text without the entry of that name. Raises ConfigError for an unknown name."""
    values = tomllib.loads(text)
    accounts = values.get("accounts", [])
    names = [account["name"] for account in accounts]
    if name not in names:
        suggestion = format_suggestion(name, names)
        raise ConfigError(
            f"the accounts file has no account {name!r}{suggestion}", hint=f"Its accounts: {', '.join(names)}."
        )
    index = names.index(name)
    expected = {**values, "accounts": accounts[:index] + accounts[index + 1 :]}
    if not expected["accounts"]:
        raise ConfigError(
            f"{name!r} is the only account of the file, and a file needs one",
            hint="Add the next account first: `orchestrator account add`.",
        )
    lines = _Lines(text)
    for end in lines.list_entry_ends(index, len(accounts)):
        edited = lines.delete(lines.find_entry_start(index), end)
        if _has_values(edited, expected):
            return edited
    raise _edit_refused()


class _Lines:
    """The lines of a text and, separately, the line breaks between them."""

    def __init__(self, text: str) -> None:
        parts = re.split(r"(\r?\n)", text)
        self._lines, self._breaks = parts[::2], parts[1::2]
        self._headers = [number for number, line in enumerate(self._lines) if _HEADER_PATTERN.match(line)]
        self._accounts = [number for number in self._headers if _ACCOUNT_HEADER_PATTERN.match(self._lines[number])]

    def find_entry_start(self, index: int) -> int:
        """Return the first line of an account's entry, which may be a comment, without the blank lines above it."""
        start = self._find_comment_start(self._accounts[index])
        while start > 0 and self._is_blank(start - 1):
            start -= 1
        return start

    def list_entry_ends(self, index: int, count: int) -> Iterator[int]:
        """Yield the lines before which the entry can end, nearest first. None if not every account has a header."""
        if len(self._accounts) != count:
            return
        first = self._accounts[index]
        # Every line that looks like a header is tried as the limit: one may be part of a list or of a text.
        for header in [*(number for number in self._headers if number > first), len(self._lines)]:
            limit = self._find_comment_start(header)
            yield from (line for line in range(first + 1, limit) if self._is_blank(line))
            yield limit

    def insert(self, position: int, added: Sequence[str]) -> str:
        line_break = self._breaks[0] if self._breaks else "\n"
        lines, breaks = list(self._lines), list(self._breaks)
        lines[position:position] = added
        breaks[position - 1 : position - 1] = [line_break] * len(added)
        return self._join(lines, breaks)

    def delete(self, start: int, end: int) -> str:
        lines, breaks = list(self._lines), list(self._breaks)
        if start == 0:  # the file begins with this entry: the blank lines below it would be left at the top
            while end < len(lines) - 1 and self._is_blank(end):
                end += 1
        del lines[start:end]
        before = max(start - 1, 0)
        del breaks[before : before + end - start]
        return self._join(lines, breaks)

    def _find_comment_start(self, header: int) -> int:
        """Return the first line of the comment directly above a header; the header if that is no separate comment."""
        start = header
        while start > 0 and start <= len(self._lines) - 1 and self._lines[start - 1].lstrip().startswith("#"):
            start -= 1
        return start if start == 0 or self._is_blank(start - 1) else header

    def _is_blank(self, number: int) -> bool:
        return not self._lines[number].strip()

    @staticmethod
    def _join(lines: Sequence[str], breaks: Sequence[str]) -> str:
        return "".join(part for pair in zip(lines, [*breaks, ""], strict=True) for part in pair)


def _has_values(text: str, expected: Options) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False


def _edit_refused() -> ConfigError:
    return ConfigError(
        "this accounts file is written in a form that the program cannot edit without changing other lines",
        hint="Edit it by hand. Every account that starts with a line [[accounts]] can be edited.",
    )
