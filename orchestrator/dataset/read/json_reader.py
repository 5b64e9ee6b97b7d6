"""Decodes JSON texts: msgspec for valid JSON, `json_diagnostics` for a text that msgspec refuses or misreads.

It also splits arrays and concatenated values, so that one broken chat does not cost the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from orchestrator.core.finding import Finding
from orchestrator.core.structs import Struct
from orchestrator.dataset.example import create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.read.json_diagnostics import MAX_DEPTH, JsonIssue, parse_with_diagnostics

_fast_decode = msgspec.json.Decoder().decode
_RAW_DECODER = json.JSONDecoder(strict=False)
_SEPARATORS = re.compile(r"[ \t\n\r,]*")
_CONTAINER_TYPES = (dict, list)
_SPACED_COLON = re.compile(rb'"\s+:')


class DecodedJson(Struct, frozen=True):
    """A decoded JSON value and the findings about its text."""

    value: Any  # None unless `complete`
    complete: bool = True  # whether the text was decoded to its end
    findings: tuple[Finding, ...] = ()


def decode_json(text: bytes, file: str, line: int) -> DecodedJson:
    """Decode one JSON value that starts at `line` of `file`. Never raises; problems are findings."""
    try:
        value = _fast_decode(text)
        if not _may_have_duplicate_keys(text, value):
            return DecodedJson(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # the diagnostics name the problem
    return _decode_with_diagnostics(text, file, line)


def is_json_container(text: bytes) -> bool:
    """Whether the text is a complete JSON object or array."""
    try:
        return isinstance(_fast_decode(text), dict | list)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def is_truncated_json(text: bytes) -> bool:
    """Whether the text starts like a JSON value and ends before the value does."""
    return parse_with_diagnostics(text.decode("utf-8", "replace")).is_truncated


def split_json_array(text: bytes) -> list[tuple[int, bytes]]:
    """Split a JSON array into its items: the line of each item, counted from 0, and its text.

    Raises ValueError if the end of an item cannot be found.
    """
    document = text.decode("utf-8", "surrogatepass")
    values = _iter_values(document, document.index("[") + 1, "]")
    return [(line, _encode_utf8(document[start:end])) for line, start, end, _ in values]


def split_concatenated_json(text: bytes) -> list[tuple[int, bytes, bool]]:
    """Split a text of concatenated JSON values: the line of each, its text, and whether a comma follows.

    The rest after the last valid value is the last item. The list is empty if the text is not such a sequence; then
    it is one broken value.
    """
    pieces: list[tuple[int, bytes, bool]] = []
    line = end = 0
    try:
        document = text.decode("utf-8", "surrogatepass")
        for line, start, end, comma in _iter_values(document, 0, ""):
            pieces.append((line, _encode_utf8(document[start:end]), comma))
    except (ValueError, RecursionError):
        if not pieces:
            return []
        rest = _skip_separators(document, end)
        pieces.append(
            (
                line + pieces[-1][1].count(b"\n") + document.count("\n", end, rest),
                _encode_utf8(document[rest:]),
                False,
            )
        )
    is_sequence = all(value.startswith((b"{", b"[")) for _, value, _ in pieces)
    return pieces if is_sequence and (len(pieces) > 1 or any(comma for *_, comma in pieces)) else []


def _iter_values(document: str, at: int, closing: str) -> Iterator[tuple[int, int, int, bool]]:
    """Yield line, start, end, and whether a comma follows, until the closing bracket or the end of the text."""
    line, counted = 0, 0
    while (start := _skip_separators(document, at)) < len(document) and (not closing or document[start] != closing):
        line += document.count("\n", counted, start)
        counted = start
        _, end = _RAW_DECODER.raw_decode(document, start)
        at = _skip_separators(document, end)
        yield line, start, end, "," in document[end:at]


def _encode_utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _skip_separators(document: str, at: int) -> int:
    match = _SEPARATORS.match(document, at)
    return match.end() if match else at


def _may_have_duplicate_keys(text: bytes, value: Any) -> bool:
    """Whether the text may have an object with two equal keys. msgspec keeps only the last of them.

    Counting is cheaper than parsing: if a key was lost, the text has more keys than the value.
    """
    written = text.count(b'":')
    if b"\\" in text:
        written -= text.count(b'\\":')  # a quotation mark in a text, followed by a colon
        if b'\\\\":' in text:
            return True  # or the end of a key that ends with a backslash
    if written != _count_flat_keys(text, value) and written != _count_keys(value, 0):
        return True
    return _SPACED_COLON.search(text) is not None


def _count_flat_keys(text: bytes, value: Any) -> int:
    """Return the number of keys of a chat with flat messages, as most are; -1 if it is nested deeper. Fast path."""
    messages = value.get("messages") if type(value) is dict else None
    if type(messages) is not list or text.count(b"[") > 1 or not all(type(message) is dict for message in messages):
        return -1
    return len(value) + sum(map(len, messages))


def _count_keys(value: Any, depth: int) -> int:
    """Return the number of keys at all depths. Raises RecursionError for more than MAX_DEPTH levels."""
    if depth > MAX_DEPTH:
        raise RecursionError
    kind = type(value)
    if kind is dict:
        return len(value) + sum(
            _count_keys(item, depth + 1) for item in value.values() if type(item) in _CONTAINER_TYPES
        )
    if kind is list:
        return sum(_count_keys(item, depth + 1) for item in value if type(item) in _CONTAINER_TYPES)
    return 0


def _decode_with_diagnostics(text: bytes, file: str, line: int) -> DecodedJson:
    try:
        parsed = parse_with_diagnostics(text.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        return DecodedJson(None, False, (_invalid_utf8_finding(text, file, line, error),))
    return DecodedJson(
        parsed.value, parsed.complete, tuple(_finding_from_issue(file, line, issue) for issue in parsed.issues)
    )


def _finding_from_issue(file: str, line: int, issue: JsonIssue) -> Finding:
    at = line + issue.line - 1
    message = f"{issue.message} (line {at}, column {issue.column})"
    return create_finding(issue.code, file, message, line=at, path=issue.path, hint=issue.hint)


def _invalid_utf8_finding(text: bytes, file: str, line: int, error: UnicodeDecodeError) -> Finding:
    at = line + text.count(b"\n", 0, error.start)
    column = error.start - text.rfind(b"\n", 0, error.start)
    message = f"not valid UTF-8: byte 0x{text[error.start]:02x} (line {at}, byte {column})"
    return create_finding(FindingCode.INVALID_UTF8, file, message, line=at)
