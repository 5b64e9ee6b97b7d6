"""The careful reader: JSON with every fault named and every value's place known.

It reads only what the fast reader refused or what a check complained about, so it may be slow. It never raises.
"""

from __future__ import annotations

import json.decoder
import math
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

from orchestrator.dataset.example import PathSteps, format_json_path
from orchestrator.dataset.finding_codes import FindingCode

MAX_DEPTH = 100  # a chat needs about ten; the limit keeps hostile input from exhausting the stack

_NEWLINE = re.compile(r"\n")
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NON_FINITE = re.compile(r"-?(?:NaN|Infinity)")
_CONTROL = re.compile(r"[\x00-\x1f]")
_CURLY_QUOTES = tuple("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\uff02")
_PYTHON_LITERAL = re.compile(r"(?:None|True|False)\b")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class JsonIssue:
    """A fault of the text: `line` and `column` count from 1."""

    code: FindingCode
    line: int
    column: int
    path: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class JsonParseResult:
    """What could be read, what was wrong, and the line of every value by its JSON path.

    `value` means nothing unless `complete`. `is_truncated`: the text ends before its value does.
    """

    value: Any
    complete: bool
    issues: list[JsonIssue]
    lines: dict[str, int]
    is_truncated: bool = False


class _MalformedJson(Exception):
    def __init__(self, at: int, message: str, steps: PathSteps) -> None:
        super().__init__(message)
        self.offset = at
        self.steps = steps


def parse_with_diagnostics(text: str) -> JsonParseResult:
    """Read one JSON value; text after it is a fault too."""
    scan = _JsonScanner(text)
    value, complete, cut_off = None, False, False
    try:
        value = scan.parse_document()
        complete = True
    except _MalformedJson as malformed:
        cut_off = malformed.offset >= len(text)
        message, hint = _find_common_mistake(text, malformed.offset) or (str(malformed), "")
        scan.add_issue(
            FindingCode.INVALID_JSON, malformed.offset, malformed.steps, f"not valid JSON: {message}", hint
        )
    lines = {path: scan.get_line(at) for path, at in scan.offsets.items()}
    return JsonParseResult(value, complete, scan.issues, lines, cut_off)


def _find_common_mistake(text: str, at: int) -> tuple[str, str] | None:
    """What people write where JSON expects something else: the message and the hint that name it."""
    rest = text[at : at + 10]
    if rest[:1] in _CURLY_QUOTES:
        hint = 'Replace every curly quote with a straight quote ("). Word processors and chat programs insert them.'
        return f"a curly quote ({rest[0]}) is used in place of a straight quote", hint
    if rest.startswith(("//", "/*", "#")):
        return "JSON does not allow comments", "Delete every comment."
    word = _PYTHON_LITERAL.match(rest)
    if word or rest.startswith("'"):
        hint = "This is Python's notation. Write the file with `json.dumps`."
        what = f"Python's {word[0]}" if word else "a single quote"
        return f"{what} is not valid in JSON", hint
    return None


def _skip_whitespace(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at


@dataclass(slots=True)
class _JsonScanner:
    text: str
    issues: list[JsonIssue] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    newlines: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.newlines = [match.start() for match in _NEWLINE.finditer(self.text)]

    def add_issue(self, code: FindingCode, at: int, steps: PathSteps, message: str, hint: str = "") -> None:
        line = self.get_line(at)
        column = at - self.text.rfind("\n", 0, at)
        self.issues.append(JsonIssue(code, line, column, format_json_path(steps), message, hint))

    def get_line(self, at: int) -> int:
        return bisect_left(self.newlines, at) + 1

    def parse_document(self) -> Any:
        value, end = self.parse_value(_skip_whitespace(self.text, 0), ())
        if (end := _skip_whitespace(self.text, end)) < len(self.text):
            raise _MalformedJson(end, "unexpected text after the end of the value", ())
        return value

    def parse_value(self, at: int, steps: PathSteps) -> tuple[Any, int]:
        if len(steps) > MAX_DEPTH:
            raise _MalformedJson(at, f"nested more than {MAX_DEPTH} levels deep", steps)
        self.offsets[format_json_path(steps)] = at
        match self.text[at : at + 1]:
            case "{":
                return self._parse_object(at + 1, steps)
            case "[":
                return self._parse_array(at + 1, steps)
            case '"':
                return self._parse_string(at, steps)
            case _:
                return self._parse_scalar(at, steps)

    def _parse_object(self, at: int, steps: PathSteps) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = _skip_whitespace(self.text, at)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise _MalformedJson(at, 'expected a key in double quotes or "}"', steps)
            start = at
            key, at = self._parse_string(at, steps)
            if key in found:
                self.add_issue(FindingCode.DUPLICATE_KEY, start, (*steps, key), f'the key "{key}" occurs twice')
            at = self._expect(":", _skip_whitespace(self.text, at), steps)
            found[key], at = self.parse_value(_skip_whitespace(self.text, at), (*steps, key))
            at = self._skip_comma("}", at, steps)
        return found, at + 1

    def _parse_array(self, at: int, steps: PathSteps) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = _skip_whitespace(self.text, at)
        while self.text[at : at + 1] != "]":
            item, at = self.parse_value(at, (*steps, len(found)))
            found.append(item)
            at = self._skip_comma("]", at, steps)
        return found, at + 1

    def _skip_comma(self, closing: str, at: int, steps: PathSteps) -> int:
        """Step over a comma to the next item, or stay at the closing bracket."""
        at = _skip_whitespace(self.text, at)
        if self.text[at : at + 1] == closing:
            return at
        after = _skip_whitespace(self.text, self._expect(",", at, steps, f' or "{closing}"'))
        if self.text[after : after + 1] == closing:
            self.add_issue(FindingCode.TRAILING_COMMA, at, steps, f'there is a comma before "{closing}"')
        return after

    def _expect(self, char: str, at: int, steps: PathSteps, other: str = "") -> int:
        if self.text[at : at + 1] == char:
            return at + 1
        if at >= len(self.text):
            raise _MalformedJson(at, f'the text ends where "{char}"{other} is expected', steps)
        raise _MalformedJson(at, f'expected "{char}"{other}', steps)

    def _parse_string(self, at: int, steps: PathSteps) -> tuple[str, int]:
        try:
            value, end = json.decoder.scanstring(self.text, at + 1, False)  # type: ignore[attr-defined]
        except json.JSONDecodeError as error:
            raise _MalformedJson(error.pos, error.msg[:1].lower() + error.msg[1:], steps) from None
        if control := _CONTROL.search(self.text, at, end):
            name = {"\n": "line break", "\t": "tab"}.get(control[0], f"control character U+{ord(control[0]):04X}")
            self.add_issue(FindingCode.INVALID_JSON, control.start(), steps, f"an unescaped {name} in a string")
        if _SURROGATE.search(value):
            self.add_issue(FindingCode.INVALID_UNICODE, at, steps, "half of a surrogate pair")
        return value, end

    def _parse_scalar(self, at: int, steps: PathSteps) -> tuple[Any, int]:
        for word, value in _LITERALS.items():
            if self.text.startswith(word, at):
                return value, at + len(word)
        if match := _NON_FINITE.match(self.text, at):
            self.add_issue(FindingCode.NON_FINITE_NUMBER, at, steps, f"{match[0]} is not a JSON number")
            return math.nan, match.end()
        if match := _NUMBER.match(self.text, at):
            return self._parse_number(match[0], at, steps), match.end()
        if at >= len(self.text):
            raise _MalformedJson(at, "the text ends where a value is expected", steps)
        raise _MalformedJson(at, "expected a value", steps)

    def _parse_number(self, text: str, at: int, steps: PathSteps) -> int | float:
        if text.lstrip("-").isdigit() and len(text) < 300:
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            self.add_issue(FindingCode.NON_FINITE_NUMBER, at, steps, f"{text[:20]} is too large for a JSON number")
        return value
