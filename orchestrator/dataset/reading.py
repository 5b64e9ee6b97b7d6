"""Reading: files to records. Every chat on disk becomes exactly one record: an example, or the reasons why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.core.finding import Finding
from orchestrator.dataset.codes import Code
from orchestrator.dataset.decoding import Decoded, decode, is_value, items
from orchestrator.dataset.example import Example, Steps, finding
from orchestrator.dataset.files import Source, TextTooLong, document, document_lines, lines
from orchestrator.dataset.formats import recognise
from orchestrator.dataset.formats.shape import Shape
from orchestrator.dataset.formats.sillytavern import is_export, sillytavern
from orchestrator.dataset.places import Document, Rows, Text
from orchestrator.system.regular_file import FileTooLarge, NotRegularFile


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
    match _layout(source):
        case "empty":
            yield _refused(source, Code.EMPTY_FILE, "the file is empty")
        case "export":
            yield _export(source)
        case "lines":
            for number, text in _filled(source):
                yield from _chats(source, text, number)
        case _:
            yield from _chats(source, document(source.path), 1)


def _filled(source: Source, *, one_document: bool = False) -> Iterator[tuple[int, bytes]]:
    rows = document_lines(source.path) if one_document else lines(source.path)
    return ((number, text) for number, text in enumerate(rows, 1) if text.strip())


def _layout(source: Source) -> str:
    """What the file is, by its first two filled lines; where both are broken, by its name."""
    filled = _filled(source)
    _, first = next(filled, (0, b""))
    _, second = next(filled, (0, b""))
    if not first:
        return "empty"
    if any(key in first for key in (b'"mes"', b"_name", b"_metadata")) and is_export(decode(first, "", 1).value):
        return "export"
    if is_value(first):
        return "lines" if second else "document"
    if second and recognise(decode(second, "", 1).value) is not None:
        return "lines"
    opened = first.startswith(b"[") or first.strip() == b"{"
    return "document" if opened or source.name.lower().endswith(".json") else "lines"


def _chats(source: Source, text: bytes, line: int) -> Iterator[Record]:
    """The records of one JSON value: one, or those of an array of chats."""
    decoded = decode(text, source.name, line)
    size = len(text) + 1
    if not decoded.complete:
        yield Record(source.name, line, None, decoded.findings, size)
    elif (shape := recognise(decoded.value)) is not None:
        record = _record(source, line, Document(Text(text, line)), shape)
        yield replace(record, findings=(*decoded.findings, *record.findings), size=size)
    elif decoded.findings or not isinstance(decoded.value, list) or not decoded.value:
        record = _unknown(source, Document(Text(text, line)), decoded.value)
        yield replace(record, findings=decoded.findings or record.findings, size=size)
    else:
        for number, (offset, item) in enumerate(items(text)):
            place = Document(Text(item, line + offset), (number,))
            shape = recognise(value := decoded.value[number])
            record = _record(source, line + offset, place, shape) if shape else _unknown(source, place, value)
            yield replace(record, size=len(item) + 1)


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
    return Record(source.name, line, None, tuple(findings))


def _export(source: Source) -> Record:
    """SillyTavern's export: each line is decoded by itself, the chat is all of them."""
    decoded: list[tuple[int, Decoded]] = [
        (number, decode(text, source.name, number)) for number, text in _filled(source, one_document=True)
    ]
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


def _refused(source: Source, code: Code, message: str, line: int = 1) -> Record:
    return Record(source.name, line, None, (finding(code, source.name, message, line=line),))
