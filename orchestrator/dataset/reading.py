"""Reading: files to records. Every chat on disk becomes exactly one record: an example, or the reasons why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from orchestrator.core.finding import Finding
from orchestrator.dataset.careful import Parsed, TextFault, parse
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Example, Steps, finding, json_path
from orchestrator.dataset.files import Source, lines
from orchestrator.dataset.formats import recognise
from orchestrator.dataset.formats.shape import Shape

_decode = msgspec.json.Decoder().decode
_SPACED_COLON = re.compile(rb'"\s+:')


@dataclass(frozen=True, slots=True)
class Record:
    """One chat as it was found: `example` is None when it could not be read, and `findings` says why."""

    file: str
    line: int
    example: Example | None
    findings: tuple[Finding, ...] = ()


def read(source: Source) -> Iterator[Record]:
    """The records of one file, one at a time: a line each, or the whole file where it is one JSON document."""
    try:
        yield from _records(source)
    except OSError as error:
        yield _refused(source, 1, Code.NO_SUCH_PATH, f"cannot be read: {error.strerror}")
    except UnicodeError as error:
        yield _refused(source, 1, Code.INVALID_UTF8, f"not valid UTF-16 or UTF-32: {error}")


def _records(source: Source) -> Iterator[Record]:
    if _by_line(source):
        for number, raw in enumerate(lines(source.path), 1):
            if raw.strip():
                yield from _read_text(source, raw, number)
        return
    text = b"\n".join(lines(source.path))
    if text.strip():
        yield from _read_text(source, text, 1)
    else:
        yield _refused(source, 1, Code.EMPTY_FILE, "the file is empty")


def _by_line(source: Source) -> bool:
    """Whether each line is a value of its own. A broken first line is judged by the second, then by the name."""
    filled = (raw for raw in lines(source.path) if raw.strip())
    first, second = next(filled, b""), next(filled, None)
    if second is None:
        return False
    return _is_value(first) or _is_value(second) or source.name.lower().endswith(("l", ".ndjson"))


def _is_value(raw: bytes) -> bool:
    try:
        return isinstance(_decode(raw), dict | list)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def _read_text(source: Source, raw: bytes, line: int) -> Iterator[Record]:
    try:
        value = _decode(raw)
        if not _may_repeat_a_key(raw, value):
            yield from _examples(source, raw, line, value)
            return
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # the careful reader says what is wrong
    yield from _read_carefully(source, raw, line)


def _read_carefully(source: Source, raw: bytes, line: int) -> Iterator[Record]:
    """Everything that is wrong with the text, and with the chats in it as far as they can be made out."""
    try:
        parsed = parse(raw.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        yield _not_utf8(source, raw, line, error)
        return
    findings = [_text_finding(source, line, fault) for fault in parsed.faults]
    records = _examples(source, raw, line, parsed.value) if parsed.complete else iter(())
    first = next(records, Record(source.name, line, None))
    yield replace(first, findings=(*findings, *first.findings))
    yield from records


def _may_repeat_a_key(raw: bytes, value: object) -> bool:
    """The fast reader keeps the last of two equal keys: then the text has more of them than the value."""
    return raw.count(b'":') - raw.count(b'\\":') != _keys(value) or _SPACED_COLON.search(raw) is not None


def _keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_keys(item) for item in value.values() if isinstance(item, dict | list))
    if isinstance(value, list):
        return sum(_keys(item) for item in value)
    return 0


def _examples(source: Source, raw: bytes, line: int, value: Any) -> Iterator[Record]:
    place = partial(_Place, raw, line)
    if (shape := recognise(value)) is not None:
        yield _record(source, place(()), shape)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            if (shape := recognise(item)) is not None:
                yield _record(source, place((index,)), shape)
            else:
                yield _unknown(source, place((index,)), item)
    else:
        yield _unknown(source, place(()), value)


def _record(source: Source, place: _Place, shape: Shape) -> Record:
    def where(steps: Steps) -> tuple[int, str]:
        return place.of(shape.back(steps))

    example = Example(source.name, place.start(), shape.format, shape.body, where)
    findings = []
    for fault in shape.faults:
        at, path = place.of(fault.steps)
        findings.append(finding(fault.code, source.name, fault.message, line=at, path=path, hint=fault.hint))
    return Record(source.name, example.line, None if findings else example, tuple(findings))


@dataclass(slots=True)
class _Place:
    """Where a value stands. The line of a value inside it is looked for only when it is asked."""

    raw: bytes
    line: int
    root: Steps
    _parsed: Parsed | None = None

    def start(self) -> int:
        return self.of(())[0] if self.root else self.line

    def of(self, steps: Steps) -> tuple[int, str]:
        """Line and JSON path; a value that is not there has its parent's line."""
        steps = self.root + steps
        path = json_path(steps)
        if b"\n" not in self.raw:
            return self.line, path
        if self._parsed is None:
            self._parsed = parse(self.raw.decode("utf-8", "surrogatepass"))
        known = (json_path(steps[:size]) for size in range(len(steps), -1, -1))
        inner = next((self._parsed.lines[known_path] for known_path in known if known_path in self._parsed.lines), 1)
        return self.line + inner - 1, path


def _unknown(source: Source, place: _Place, value: object) -> Record:
    line, path = place.of(())
    what = (
        f"an object with the keys {', '.join(list(value)[:8])}" if isinstance(value, dict) and value else _kind(value)
    )
    found = finding(Code.UNKNOWN_FORMAT, source.name, f"not a chat: {what}", line=line, path=path)
    return Record(source.name, line, None, (found,))


def _kind(value: object) -> str:
    empty = "an empty " if value in ({}, []) else "a JSON "
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return empty + names.get(type(value), "null")


def _text_finding(source: Source, line: int, fault: TextFault) -> Finding:
    at = line + fault.line - 1
    message = f"{fault.message} (line {at}, column {fault.column})"
    return finding(fault.code, source.name, message, line=at, path=fault.path)


def _not_utf8(source: Source, raw: bytes, line: int, error: UnicodeDecodeError) -> Record:
    at = line + raw.count(b"\n", 0, error.start)
    column = error.start - raw.rfind(b"\n", 0, error.start)
    message = f"not valid UTF-8: byte 0x{raw[error.start]:02x} (line {at}, byte {column})"
    return _refused(source, at, Code.INVALID_UTF8, message)


def _refused(source: Source, line: int, code: Code, message: str) -> Record:
    return Record(source.name, line, None, (finding(code, source.name, message, line=line),))
