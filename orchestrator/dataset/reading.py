"""Reading: files to records. Every chat on disk becomes exactly one record: an example, or the reasons why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.core.finding import Finding, Severity
from orchestrator.dataset.codes import Code
from orchestrator.dataset.decoding import Decoded, decode, items, values_in_a_row
from orchestrator.dataset.example import Example, Steps, finding
from orchestrator.dataset.file_types import HEAD_BYTES, find_file_type
from orchestrator.dataset.files import Source, TextTooLong, document, document_lines, head, lines
from orchestrator.dataset.formats import recognise
from orchestrator.dataset.formats.shape import Shape
from orchestrator.dataset.formats.sillytavern import sillytavern, starts_of_chats
from orchestrator.dataset.layout import find_layout
from orchestrator.dataset.places import Document, Rows, Text
from orchestrator.system.regular_file import FileTooLarge, NotRegularFile

_ITEM = re.compile(r"\$\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Record:
    """One chat as it was found: `example` is None when it could not be read, and `findings` says why.

    `size` is the length of the text read for it, in bytes, noted at the first chat of each text.
    """

    file: str
    line: int
    example: Example | None
    findings: tuple[Finding, ...] = ()
    size: int = 0


def read(source: Source) -> Iterator[Record]:
    """The records of one file, one at a time: a line each, or the whole file where it is one chat or document."""
    try:
        yield from _records(source)
    except NotRegularFile as error:
        yield _refused(source, Code.NOT_A_REGULAR_FILE, f"is not read: {error.strerror}")
    except FileTooLarge as error:
        yield _refused(source, Code.FILE_TOO_LARGE, f"is not read: {error.strerror}")
    except OSError as error:
        yield _refused(source, Code.NO_SUCH_PATH, f"cannot be read: {error.strerror}")
    except TextTooLong as error:
        yield _refused(source, Code.TEXT_TOO_LONG, f"{error}", error.line)
    except UnicodeError as error:
        yield _refused(source, Code.INVALID_UTF8, f"not valid UTF-16 or UTF-32: {error}")


def _records(source: Source) -> Iterator[Record]:
    if kind := find_file_type(head(source.path, HEAD_BYTES)):
        yield _refused(source, Code.WRONG_FILE_TYPE, f"the file is {kind.name}", hint=kind.hint)
        return
    filled = _filled(source)
    (_, first), (_, second) = next(filled, (0, b"")), next(filled, (0, b""))
    match find_layout(first, second, source.name):
        case "empty":
            yield _refused(source, Code.EMPTY_FILE, "the file is empty")
        case "export":
            yield from _exports(source)
        case "lines":
            for number, text in _filled(source):
                yield from _chats(source, text, number)
        case "document":
            yield from _chats(source, document(source.path), 1)


def _filled(source: Source) -> Iterator[tuple[int, bytes]]:
    return ((number, text) for number, text in enumerate(lines(source.path), 1) if text.strip())


def _chats(source: Source, text: bytes, line: int) -> Iterator[Record]:
    """The records of one text: of one JSON value, of an array of chats, or of several values in a row."""
    decoded = decode(text, source.name, line)
    size = len(text) + 1
    if not decoded.complete:
        if row := values_in_a_row(text):
            yield from _row(source, row, line)
        else:
            yield Record(source.name, line, None, decoded.findings, size)
    elif (shape := recognise(decoded.value)) is not None:
        record = _record(source, line, Document(Text(text, line)), shape)
        yield replace(record, findings=(*decoded.findings, *record.findings), size=size)
    elif isinstance(decoded.value, list) and decoded.value and (pieces := _pieces(text)):
        yield from _array(source, decoded, pieces, line)
    else:
        record = _unknown(source, Document(Text(text, line)), decoded.value)
        yield replace(record, findings=decoded.findings or record.findings, size=size)


def _pieces(text: bytes) -> list[tuple[int, bytes]]:
    try:
        return items(text)
    except ValueError:
        return []  # a number that Python refuses, or -NaN: only the careful reader knows its end


def _array(source: Source, decoded: Decoded, pieces: list[tuple[int, bytes]], line: int) -> Iterator[Record]:
    """The records of an array of chats. What is wrong with its text is shared out, so that the others are read."""
    shared: dict[int, list[Finding]] = {}
    for found in decoded.findings:
        match = _ITEM.match(found.path or "")
        number = int(match[1]) if match else len(pieces) - 1  # such as the comma before the closing bracket
        shared.setdefault(number, []).append(found)
    for number, (offset, item) in enumerate(pieces):
        place = Document(Text(item, line + offset), (number,))
        shape = recognise(value := decoded.value[number])
        own = tuple(shared.get(number, ()))
        if shape:
            record = _record(source, line + offset, place, shape)
            yield replace(record, findings=(*own, *record.findings), size=len(item) + 1)
        else:
            record = _unknown(source, place, value)
            yield replace(record, findings=own or record.findings, size=len(item) + 1)


def _row(source: Source, row: list[tuple[int, bytes, bool]], line: int) -> Iterator[Record]:
    """The records of JSON values that follow each other, as a program writes them that prints each one indented."""
    for offset, text, comma in row:
        records = list(_chats(source, text, line + offset))
        if comma and records:
            warning = finding(Code.COMMA_AFTER_LINE, source.name, "a comma follows the value", line=line + offset)
            records[-1] = replace(records[-1], findings=(*records[-1].findings, warning))
        yield from records


def _record(source: Source, line: int, places: Document | Rows, shape: Shape) -> Record:
    def where(steps: Steps) -> tuple[int, str]:
        return places.of(shape.back(steps))

    example = Example(source.name, line, shape.format, shape.body, where, shape.left_out, shape.user)
    if not shape.faults:
        return Record(source.name, line, example)
    findings = []
    for fault in shape.faults:
        at, path = places.of(fault.steps)
        findings.append(finding(fault.code, source.name, fault.message, line=at, path=path, hint=fault.hint))
    refused = any(found.severity is Severity.ERROR for found in findings)
    return Record(source.name, line, None if refused else example, tuple(findings))


def _exports(source: Source) -> Iterator[Record]:
    """SillyTavern's export: each line is decoded by itself, a chat is all lines up to the next header."""
    rows = document_lines(source.path)
    decoded = [(number, decode(text, source.name, number)) for number, text in enumerate(rows, 1) if text.strip()]
    begun = 0
    for index in starts_of_chats([row.value if row.complete else None for _, row in decoded]):
        if index:
            yield _export(source, decoded[begun:index])
        begun = index
    yield _export(source, decoded[begun:])


def _export(source: Source, decoded: list[tuple[int, Decoded]]) -> Record:
    findings = [found for _, row in decoded for found in row.findings]
    good = [(number, row.value) for number, row in decoded if row.complete]
    record = _record(
        source, decoded[0][0], Rows([number for number, _ in good]), sillytavern([row for _, row in good])
    )
    return replace(record, findings=(*findings, *record.findings))


def _unknown(source: Source, place: Document, value: object) -> Record:
    line, path = place.of(())
    found = finding(Code.UNKNOWN_FORMAT, source.name, f"not a chat: {_described(value)}", line=line, path=path)
    return Record(source.name, line, None, (found,))


def _described(value: object) -> str:
    if isinstance(value, dict) and value:
        return f"an object with the keys {', '.join(list(value)[:8])}"
    empty = "an empty " if value in ({}, []) else "a JSON "
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return empty + names.get(type(value), "null")


def _refused(source: Source, code: Code, message: str, line: int = 1, hint: str = "") -> Record:
    return Record(source.name, line, None, (finding(code, source.name, message, line=line, hint=hint),))
