"""A JSON parser that reports every problem with its line and column, and knows the line of every value."""

# Theory of operation
#
# There are two JSON readers. `json_reader` decodes each text with msgspec, which is fast, but stops at the first
# error, keeps only the last of two equal keys, and does not know where a value stood. This parser is used for the
# rest, so it may be slow:
#   * a text that msgspec refused, or that may have duplicate keys: `issues` becomes the findings;
#   * a text with several lines in which a check found something: `lines` gives the line of the value (`source_map`).
#
# It is a recursive-descent parser over a `str`. Every method takes the offset at which to start and the key path of
# the value there, and returns the value and the offset behind it. There are two kinds of problems:
#   * Recoverable ones do not change where the value ends: a duplicate key, a trailing comma, a bare line break in a
#     string, NaN, half of a surrogate pair. They are collected with `add_issue` and parsing continues, so that one
#     run names all of them. (Of two equal keys the last value wins, as in msgspec.)
#   * Fatal ones make the rest meaningless. `_MalformedJson` carries the offset and the key path of the value, and
#     ends the parse with one last issue. Before it is reported, `_find_common_mistake` compares the text at the
#     offset with mistakes that people really make (curly quotes, comments, Python's notation), because "expected a
#     value" would not help them.
#
# A text that ends inside a value is `is_truncated`. The layout detection uses this to tell a pretty-printed document
# from a line of JSONL.
#
# What must hold:
#   * `parse_with_diagnostics` never raises. MAX_DEPTH bounds the recursion far below Python's own limit, because the
#     input may be hostile; without it a file of brackets would end the process.
#   * `issues` is empty only for a text that is valid JSON without duplicate keys. If this parser were more tolerant
#     than msgspec, a chat that msgspec refused would be used although its text is broken.
#   * Offsets are recorded by the text of the JSON path, the same form that findings use. One pass over the newlines
#     and a binary search then turn an offset into a line; counting newlines for each value would be quadratic.

from __future__ import annotations

import json.decoder
import math
import re
from bisect import bisect_left
from typing import Any

from orchestrator.core.structs import Struct, field
from orchestrator.dataset.example import KeyPath, format_json_path
from orchestrator.dataset.finding_codes import FindingCode

MAX_DEPTH = 100  # levels; a chat needs about 10, and hostile input must not exhaust the stack

_NEWLINE = re.compile(r"\n")
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NON_FINITE = re.compile(r"-?(?:NaN|Infinity)")
_CONTROL = re.compile(r"[\x00-\x1f]")
_CURLY_QUOTES = tuple("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\uff02")
_PYTHON_LITERAL = re.compile(r"(?:None|True|False)\b")
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonIssue(Struct, frozen=True):
    """A problem of the text."""

    code: FindingCode
    line: int  # from 1, within the text
    column: int  # from 1, in characters
    path: str  # JSON path of the value that contains the problem
    message: str
    hint: str = ""  # "": the hint of the code


class JsonParseResult(Struct, frozen=True):
    """The parsed value and the problems of its text."""

    value: Any  # None unless `complete`
    complete: bool  # whether the whole text was parsed; there may be issues nevertheless
    issues: list[JsonIssue]
    lines: dict[str, int]  # line of every value that was reached, by its JSON path
    is_truncated: bool = False  # whether the text ends before its value does


class _MalformedJson(Exception):
    """Ends the parse: the text after `offset` cannot be interpreted."""

    def __init__(self, at: int, message: str, key_path: KeyPath) -> None:
        super().__init__(message)
        self.offset = at
        self.key_path = key_path


def parse_with_diagnostics(text: str) -> JsonParseResult:
    """Parse one JSON value. Text after the value is an issue. Never raises."""
    scanner = _JsonScanner(text)
    value, complete, is_truncated = None, False, False
    try:
        value = scanner.parse_document()
        complete = True
    except _MalformedJson as malformed:
        is_truncated = malformed.offset >= len(text)
        message, hint = _find_common_mistake(text, malformed.offset) or (str(malformed), "")
        scanner.add_issue(
            FindingCode.INVALID_JSON, malformed.offset, malformed.key_path, f"not valid JSON: {message}", hint
        )
    lines = {path: scanner.get_line(at) for path, at in scanner.offsets.items()}
    return JsonParseResult(value, complete, scanner.issues, lines, is_truncated)


def _find_common_mistake(text: str, at: int) -> tuple[str, str] | None:
    """Return a message and a hint if the text at the offset is a well-known mistake."""
    rest = text[at : at + 10]
    if rest[:1] in _CURLY_QUOTES:
        hint = 'Replace every curly quote with a straight quote ("). Word processors and chat programs insert them.'
        return f"a curly quote ({rest[0]}) is used in place of a straight quote", hint
    if rest.startswith(("//", "/*", "#")):
        return "JSON does not allow comments", "Delete every comment."
    word = _PYTHON_LITERAL.match(rest)
    if word or rest.startswith("'"):
        hint = "This is Python's notation. Write the file with `json.dumps`."
        symbol = f"Python's {word[0]}" if word else "a single quote"
        return f"{symbol} is not valid in JSON", hint
    return None


def _skip_whitespace(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at


class _JsonScanner(Struct):
    """The state of one parse. Each parse method returns a value and the offset behind it."""

    text: str
    issues: list[JsonIssue] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)  # start of every value, by its JSON path
    newlines: list[int] = field(default_factory=list)  # offsets of all line feeds, ascending

    def __post_init__(self) -> None:
        self.newlines = [match.start() for match in _NEWLINE.finditer(self.text)]

    def add_issue(self, code: FindingCode, at: int, key_path: KeyPath, message: str, hint: str = "") -> None:
        line = self.get_line(at)
        column = at - self.text.rfind("\n", 0, at)
        self.issues.append(JsonIssue(code, line, column, format_json_path(key_path), message, hint))

    def get_line(self, at: int) -> int:
        return bisect_left(self.newlines, at) + 1

    def parse_document(self) -> Any:
        value, end = self.parse_value(_skip_whitespace(self.text, 0), ())
        if (end := _skip_whitespace(self.text, end)) < len(self.text):
            raise _MalformedJson(end, "unexpected text after the end of the value", ())
        return value

    def parse_value(self, at: int, key_path: KeyPath) -> tuple[Any, int]:
        if len(key_path) > MAX_DEPTH:
            raise _MalformedJson(at, f"nested more than {MAX_DEPTH} levels deep", key_path)
        self.offsets[format_json_path(key_path)] = at
        match self.text[at : at + 1]:
            case "{":
                return self._parse_object(at + 1, key_path)
            case "[":
                return self._parse_array(at + 1, key_path)
            case '"':
                return self._parse_string(at, key_path)
            case _:
                return self._parse_scalar(at, key_path)

    def _parse_object(self, at: int, key_path: KeyPath) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        at = _skip_whitespace(self.text, at)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise _MalformedJson(at, 'expected a key in double quotes or "}"', key_path)
            start = at
            key, at = self._parse_string(at, key_path)
            if key in members:
                self.add_issue(FindingCode.DUPLICATE_KEY, start, (*key_path, key), f'the key "{key}" occurs twice')
            at = self._expect(":", _skip_whitespace(self.text, at), key_path)
            members[key], at = self.parse_value(_skip_whitespace(self.text, at), (*key_path, key))
            at = self._skip_comma("}", at, key_path)
        return members, at + 1

    def _parse_array(self, at: int, key_path: KeyPath) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = _skip_whitespace(self.text, at)
        while self.text[at : at + 1] != "]":
            item, at = self.parse_value(at, (*key_path, len(items)))
            items.append(item)
            at = self._skip_comma("]", at, key_path)
        return items, at + 1

    def _skip_comma(self, closing: str, at: int, key_path: KeyPath) -> int:
        """Return the offset of the next item, or of the closing bracket. A comma before the bracket is an issue."""
        at = _skip_whitespace(self.text, at)
        if self.text[at : at + 1] == closing:
            return at
        after = _skip_whitespace(self.text, self._expect(",", at, key_path, f' or "{closing}"'))
        if self.text[after : after + 1] == closing:
            self.add_issue(FindingCode.TRAILING_COMMA, at, key_path, f'there is a comma before "{closing}"')
        return after

    def _expect(self, char: str, at: int, key_path: KeyPath, other: str = "") -> int:
        if self.text[at : at + 1] == char:
            return at + 1
        if at >= len(self.text):
            raise _MalformedJson(at, f'the text ends where "{char}"{other} is expected', key_path)
        raise _MalformedJson(at, f'expected "{char}"{other}', key_path)

    def _parse_string(self, at: int, key_path: KeyPath) -> tuple[str, int]:
        try:
            # False: control characters are accepted here and reported below, so that parsing can continue
            value, end = json.decoder.scanstring(self.text, at + 1, False)  # type: ignore[attr-defined]
        except json.JSONDecodeError as error:
            raise _MalformedJson(error.pos, error.msg[:1].lower() + error.msg[1:], key_path) from None
        if control := _CONTROL.search(self.text, at, end):
            name = {"\n": "line break", "\t": "tab"}.get(control[0], f"control character U+{ord(control[0]):04X}")
            self.add_issue(FindingCode.INVALID_JSON, control.start(), key_path, f"an unescaped {name} in a string")
        if _SURROGATE.search(value):
            self.add_issue(FindingCode.INVALID_UNICODE, at, key_path, "half of a surrogate pair")
        return value, end

    def _parse_scalar(self, at: int, key_path: KeyPath) -> tuple[Any, int]:
        for word, value in _LITERALS.items():
            if self.text.startswith(word, at):
                return value, at + len(word)
        if match := _NON_FINITE.match(self.text, at):
            self.add_issue(FindingCode.NON_FINITE_NUMBER, at, key_path, f"{match[0]} is not a JSON number")
            return math.nan, match.end()
        if match := _NUMBER.match(self.text, at):
            return self._parse_number(match[0], at, key_path), match.end()
        if at >= len(self.text):
            raise _MalformedJson(at, "the text ends where a value is expected", key_path)
        raise _MalformedJson(at, "expected a value", key_path)

    def _parse_number(self, text: str, at: int, key_path: KeyPath) -> int | float:
        if text.lstrip("-").isdigit() and len(text) < 300:  # int() takes quadratic time, and refuses 4,300 digits
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            self.add_issue(FindingCode.NON_FINITE_NUMBER, at, key_path, f"{text[:20]} is too large for a JSON number")
        return value
