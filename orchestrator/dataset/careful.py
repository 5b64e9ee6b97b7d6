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

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Steps, json_path

MAX_DEPTH = 100  # a chat needs about ten; the limit keeps hostile input from exhausting the stack

_NEWLINE = re.compile(r"\n")
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NON_FINITE = re.compile(r"-?(?:NaN|Infinity)")
_CONTROL = re.compile(r"[\x00-\x1f]")
_CURLY = tuple("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb\uff02")
_PYTHON_WORD = re.compile(r"(?:None|True|False)\b")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TextFault:
    """A fault of the text: `line` and `column` count from 1."""

    code: Code
    line: int
    column: int
    path: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read, what was wrong, and the line of every value by its JSON path.

    `value` means nothing unless `complete`. `cut_off`: the text ends before its value does.
    """

    value: Any
    complete: bool
    faults: list[TextFault]
    lines: dict[str, int]
    cut_off: bool = False


class _Malformed(Exception):
    def __init__(self, at: int, message: str, steps: Steps) -> None:
        super().__init__(message)
        self.at = at
        self.steps = steps


def parse(text: str) -> Parsed:
    """Read one JSON value; text after it is a fault too."""
    scan = _Scan(text)
    value, complete, cut_off = None, False, False
    try:
        value = scan.document()
        complete = True
    except _Malformed as malformed:
        cut_off = malformed.at >= len(text)
        message, hint = _habit(text, malformed.at) or (str(malformed), "")
        scan.fault(Code.INVALID_JSON, malformed.at, malformed.steps, f"not valid JSON: {message}", hint)
    lines = {path: scan.line(at) for path, at in scan.places.items()}
    return Parsed(value, complete, scan.faults, lines, cut_off)


def _habit(text: str, at: int) -> tuple[str, str] | None:
    """What people write where JSON expects something else: the message and the hint that name it."""
    rest = text[at : at + 10]
    if rest[:1] in _CURLY:
        hint = 'Replace every curly quote by a straight one ("); a word processor or chat program changes them.'
        return f"a curly quote ({rest[0]}) stands where a straight one is needed", hint
    if rest.startswith(("//", "/*", "#")):
        return "a comment, which JSON does not have", "Delete every comment."
    word = _PYTHON_WORD.match(rest)
    if word or rest.startswith("'"):
        hint = "This is how Python prints a value. Write the file with `json.dumps`."
        what = f"Python's {word[0]}" if word else "a single quote"
        return f"{what} stands where JSON has another sign", hint
    return None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


@dataclass(slots=True)
class _Scan:
    text: str
    faults: list[TextFault] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    newlines: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.newlines = [match.start() for match in _NEWLINE.finditer(self.text)]

    def fault(self, code: Code, at: int, steps: Steps, message: str, hint: str = "") -> None:
        line = self.line(at)
        column = at - self.text.rfind("\n", 0, at)
        self.faults.append(TextFault(code, line, column, json_path(steps), message, hint))

    def line(self, at: int) -> int:
        return bisect_left(self.newlines, at) + 1

    def document(self) -> Any:
        value, end = self.value(_skip(self.text, 0), ())
        if (end := _skip(self.text, end)) < len(self.text):
            raise _Malformed(end, "there is more after the end of the value", ())
        return value

    def value(self, at: int, steps: Steps) -> tuple[Any, int]:
        if len(steps) > MAX_DEPTH:
            raise _Malformed(at, f"nested more than {MAX_DEPTH} deep", steps)
        self.places[json_path(steps)] = at
        match self.text[at : at + 1]:
            case "{":
                return self._object(at + 1, steps)
            case "[":
                return self._array(at + 1, steps)
            case '"':
                return self._string(at, steps)
            case _:
                return self._scalar(at, steps)

    def _object(self, at: int, steps: Steps) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        at = _skip(self.text, at)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise _Malformed(at, 'expected a key in double quotes or "}"', steps)
            start = at
            key, at = self._string(at, steps)
            if key in found:
                self.fault(Code.DUPLICATE_KEY, start, (*steps, key), f'the key "{key}" occurs twice')
            at = self._expect(":", _skip(self.text, at), steps)
            found[key], at = self.value(_skip(self.text, at), (*steps, key))
            at = self._next("}", at, steps)
        return found, at + 1

    def _array(self, at: int, steps: Steps) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = _skip(self.text, at)
        while self.text[at : at + 1] != "]":
            item, at = self.value(at, (*steps, len(found)))
            found.append(item)
            at = self._next("]", at, steps)
        return found, at + 1

    def _next(self, closing: str, at: int, steps: Steps) -> int:
        """Step over a comma to the next item, or stay at the closing bracket."""
        at = _skip(self.text, at)
        if self.text[at : at + 1] == closing:
            return at
        after = _skip(self.text, self._expect(",", at, steps, f' or "{closing}"'))
        if self.text[after : after + 1] == closing:
            self.fault(Code.TRAILING_COMMA, at, steps, f'a comma before "{closing}"')
        return after

    def _expect(self, char: str, at: int, steps: Steps, other: str = "") -> int:
        if self.text[at : at + 1] == char:
            return at + 1
        if at >= len(self.text):
            raise _Malformed(at, f'the text ends where "{char}"{other} is expected', steps)
        raise _Malformed(at, f'expected "{char}"{other}', steps)

    def _string(self, at: int, steps: Steps) -> tuple[str, int]:
        try:
            value, end = json.decoder.scanstring(self.text, at + 1, False)  # type: ignore[attr-defined]
        except json.JSONDecodeError as error:
            raise _Malformed(error.pos, error.msg[:1].lower() + error.msg[1:], steps) from None
        if control := _CONTROL.search(self.text, at, end):
            name = {"\n": "line break", "\t": "tab"}.get(control[0], f"control character U+{ord(control[0]):04X}")
            self.fault(Code.INVALID_JSON, control.start(), steps, f"a bare {name} inside a string")
        if _SURROGATE.search(value):
            self.fault(Code.INVALID_UNICODE, at, steps, "half of a surrogate pair")
        return value, end

    def _scalar(self, at: int, steps: Steps) -> tuple[Any, int]:
        for word, value in _WORDS.items():
            if self.text.startswith(word, at):
                return value, at + len(word)
        if match := _NON_FINITE.match(self.text, at):
            self.fault(Code.NON_FINITE_NUMBER, at, steps, f"{match[0]} is not a JSON number")
            return math.nan, match.end()
        if match := _NUMBER.match(self.text, at):
            return self._number(match[0], at, steps), match.end()
        if at >= len(self.text):
            raise _Malformed(at, "the text ends where a value is expected", steps)
        raise _Malformed(at, "expected a value", steps)

    def _number(self, text: str, at: int, steps: Steps) -> int | float:
        if text.lstrip("-").isdigit() and len(text) < 300:
            return int(text)
        value = float(text)
        if not math.isfinite(value):
            self.fault(Code.NON_FINITE_NUMBER, at, steps, f"{text[:20]} is too large for a number")
        return value
