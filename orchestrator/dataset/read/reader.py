"""Reads source files into records: every chat on disk becomes exactly one example, or the reasons why not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final
from zlib import crc32

from orchestrator.core.finding import Finding, Severity
from orchestrator.core.structs import Struct, replace
from orchestrator.dataset.example import Example, KeyPath, create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats import parse_chat
from orchestrator.dataset.formats.base import ParsedChat
from orchestrator.dataset.formats.sillytavern import list_chat_starts, parse_sillytavern
from orchestrator.dataset.read.file_layout import FileLayout, detect_layout
from orchestrator.dataset.read.file_types import HEAD_BYTES, find_file_type
from orchestrator.dataset.read.json_reader import DecodedJson, decode_json, split_concatenated_json, split_json_array
from orchestrator.dataset.read.source_files import (
    SMALL_FILE_BYTES,
    SourceFile,
    TextTooLong,
    get_file_size,
    iter_document_lines,
    iter_lines,
    load_small_file,
    read_document,
    read_head,
)
from orchestrator.dataset.read.source_map import DocumentSourceMap, JsonText, RowsSourceMap
from orchestrator.system.regular_file import FileTooLarge, NotRegularFile

LINE_END_BYTES: Final = 64  # of a line, which decide if a piece ends with it
_ARRAY_INDEX = re.compile(r"\$\[(\d+)\]")


class ChatRecord(Struct, frozen=True):
    """One chat on disk, read or refused."""

    file: str  # name of the source file, as findings show it
    line: int  # where the chat starts, from 1
    example: Example | None  # None if it could not be read; then there is an error in `findings`
    findings: tuple[Finding, ...] = ()
    size: int = 0  # bytes of the text read for this record, for the progress


class SourcePiece(Struct, frozen=True):
    """A piece of a source file that can be read without the others. It can be pickled."""

    source: SourceFile
    lines: tuple[tuple[int, bytes], ...] | None = None  # numbers and texts of some lines; None: the whole file
    size: int = 0  # bytes
    refused: tuple[ChatRecord, ...] = ()  # why the file cannot be read beyond these lines


def read_chats(source: SourceFile) -> Iterator[ChatRecord]:
    """Yield the records of one file, one at a time, so that a large file is never in memory as a whole.

    Never raises for what is wrong with the file: that becomes a record with an error.
    """
    try:
        yield from _read_records(load_small_file(source))
    except _READ_ERRORS as error:
        yield _describe_read_error(source, error)


def split_source(source: SourceFile, piece_bytes: int, *, by_content: bool = False) -> Iterator[SourcePiece]:
    """Yield the pieces of one file, in order. Only files with one chat on each line have several.

    `by_content`: the content of small files is read, and the content of a line decides if it is the last one of a
    piece. So a line that is added, changed or deleted changes one or two of the pieces, and no other.
    """
    size = get_file_size(source)
    if by_content and size <= SMALL_FILE_BYTES:
        with suppress(OSError):  # checking the file reports it
            source = load_small_file(source)
    if size <= piece_bytes or not _has_chat_on_each_line(source):
        yield SourcePiece(source, size=size)
        return
    lines: list[tuple[int, bytes]] = []
    read = 0
    refused: tuple[ChatRecord, ...] = ()
    try:
        for number, text in _iter_nonblank_lines(source):
            lines.append((number, text))
            read += len(text)
            if read >= piece_bytes or (by_content and _ends_piece(text)):
                yield SourcePiece(source, tuple(lines), read)
                lines, read = [], 0
    except _READ_ERRORS as error:
        refused = (_describe_read_error(source, error),)
    yield SourcePiece(source, tuple(lines), read, refused)


def _ends_piece(text: bytes) -> bool:
    """Whether a line is the last one of a piece: one of eight is."""
    return crc32(text[-LINE_END_BYTES:], len(text)) % 8 == 0


def read_piece(piece: SourcePiece) -> Iterator[ChatRecord]:
    """Yield the records of a piece; those of all pieces are the records of `read_chats`."""
    if piece.lines is None:
        yield from read_chats(piece.source)
        return
    for number, text in piece.lines:
        yield from _parse_text(piece.source, text, number)
    yield from piece.refused


def read_chats_at(source: SourceFile, lines: Collection[int]) -> Iterator[ChatRecord]:
    """Yield the records that start at some lines of one file."""
    for piece in split_source(source, SMALL_FILE_BYTES):
        if piece.lines is not None:
            piece = replace(piece, lines=tuple(line for line in piece.lines if line[0] in lines))
        yield from (record for record in read_piece(piece) if record.line in lines)


_READ_ERRORS = (OSError, TextTooLong, UnicodeError)


def _describe_read_error(source: SourceFile, error: Exception) -> ChatRecord:
    match error:
        case NotRegularFile():
            return _refused_record(source, FindingCode.NOT_A_REGULAR_FILE, f"the file is not read: {error.strerror}")
        case FileTooLarge():
            return _refused_record(source, FindingCode.FILE_TOO_LARGE, f"the file is not read: {error.strerror}")
        case OSError():
            return _refused_record(source, FindingCode.NO_SUCH_PATH, f"the file cannot be read: {error.strerror}")
        case TextTooLong():
            return _refused_record(source, FindingCode.TEXT_TOO_LONG, f"{error}", error.line)
        case _:
            return _refused_record(source, FindingCode.INVALID_UTF8, f"not valid UTF-16 or UTF-32: {error}")


def _has_chat_on_each_line(source: SourceFile) -> bool:
    try:
        return not find_file_type(read_head(source, HEAD_BYTES)) and _find_layout(source) == "lines"
    except _READ_ERRORS:
        return False  # reading the file reports it


def _find_layout(source: SourceFile) -> FileLayout:
    lines = _iter_nonblank_lines(source)
    (_, first), (_, second) = next(lines, (0, b"")), next(lines, (0, b""))
    return detect_layout(first, second, source.name)


def _read_records(source: SourceFile) -> Iterator[ChatRecord]:
    if kind := find_file_type(read_head(source, HEAD_BYTES)):
        yield _refused_record(source, FindingCode.WRONG_FILE_TYPE, f"the file is {kind.name}", hint=kind.hint)
        return
    match _find_layout(source):
        case "empty":
            yield _refused_record(source, FindingCode.EMPTY_FILE, "the file is empty")
        case "export":
            yield from _parse_sillytavern_file(source)
        case "lines":
            for number, text in _iter_nonblank_lines(source):
                yield from _parse_text(source, text, number)
        case "document":
            yield from _parse_text(source, read_document(source), 1)


def _iter_nonblank_lines(source: SourceFile) -> Iterator[tuple[int, bytes]]:
    return ((number, text) for number, text in enumerate(iter_lines(source), 1) if text.strip())


def _parse_text(source: SourceFile, text: bytes, line: int) -> Iterator[ChatRecord]:
    """Yield the records of one text: one JSON value, an array of chats, or several concatenated values."""
    decoded = decode_json(text, source.name, line)
    size = len(text) + 1
    if not decoded.complete:
        if row := split_concatenated_json(text):
            yield from _parse_concatenated_values(source, row, line)
        else:
            yield ChatRecord(source.name, line, None, decoded.findings, size)
    elif (chat := parse_chat(decoded.value)) is not None:
        yield _build_record(source, line, DocumentSourceMap(JsonText(text, line)), chat, decoded.findings, size)
    elif isinstance(decoded.value, list) and decoded.value and (pieces := _split_array(text)):
        yield from _parse_array(source, decoded, pieces, line)
    else:
        record = _unknown_format_record(source, DocumentSourceMap(JsonText(text, line)), decoded.value)
        yield replace(record, findings=decoded.findings or record.findings, size=size)


def _split_array(text: bytes) -> list[tuple[int, bytes]]:
    try:
        return split_json_array(text)
    except ValueError:
        return []  # a number that Python refuses, or -NaN: only json_diagnostics finds its end


def _parse_array(
    source: SourceFile, decoded: DecodedJson, pieces: list[tuple[int, bytes]], line: int
) -> Iterator[ChatRecord]:
    """Yield the records of an array of chats.

    Each finding about the text goes to the record of the item that it is in, so that the other items are still used.
    """
    shared: dict[int, list[Finding]] = {}
    for finding in decoded.findings:
        match = _ARRAY_INDEX.match(finding.path or "")
        number = int(match[1]) if match else len(pieces) - 1  # such as the comma before the closing bracket
        shared.setdefault(number, []).append(finding)
    for number, (offset, item) in enumerate(pieces):
        place = DocumentSourceMap(JsonText(item, line + offset), (number,))
        chat = parse_chat(value := decoded.value[number])
        own = tuple(shared.get(number, ()))
        if chat:
            yield _build_record(source, line + offset, place, chat, own, len(item) + 1)
        else:
            record = _unknown_format_record(source, place, value)
            yield replace(record, findings=own or record.findings, size=len(item) + 1)


def _parse_concatenated_values(
    source: SourceFile, row: list[tuple[int, bytes, bool]], line: int
) -> Iterator[ChatRecord]:
    """Yield the records of concatenated JSON values, as written by programs that print each value indented."""
    for offset, text, comma in row:
        records = list(_parse_text(source, text, line + offset))
        if comma and records:
            warning = create_finding(
                FindingCode.COMMA_AFTER_LINE, source.name, "a comma follows the value", line=line + offset
            )
            records[-1] = replace(records[-1], findings=(*records[-1].findings, warning))
        yield from records


def _build_record(
    source: SourceFile,
    line: int,
    places: DocumentSourceMap | RowsSourceMap,
    chat: ParsedChat,
    text_findings: tuple[Finding, ...] = (),
    size: int = 0,
) -> ChatRecord:
    """Build the record of a parsed chat. `text_findings` are those about its JSON text, of so many bytes."""

    def where(key_path: KeyPath) -> tuple[int, str]:
        return places.locate(chat.to_source(key_path))

    example = Example(source.name, line, chat.format, chat.body, where, chat.left_out, chat.user_name)
    if not chat.issues:
        return ChatRecord(source.name, line, example, text_findings, size)
    findings = []
    for issue in chat.issues:
        at, path = places.locate(issue.key_path)
        findings.append(create_finding(issue.code, source.name, issue.message, line=at, path=path, hint=issue.hint))
    refused = any(finding.severity is Severity.ERROR for finding in findings)
    return ChatRecord(source.name, line, None if refused else example, (*text_findings, *findings), size)


def _parse_sillytavern_file(source: SourceFile) -> Iterator[ChatRecord]:
    """Yield the records of a SillyTavern export: each line is decoded alone, a chat ends before the next header."""
    rows = iter_document_lines(source)
    decoded = [
        (number, decode_json(text, source.name, number)) for number, text in enumerate(rows, 1) if text.strip()
    ]
    start = 0
    for index in list_chat_starts([row.value if row.complete else None for _, row in decoded]):
        if index:
            yield _parse_sillytavern_chat(source, decoded[start:index])
        start = index
    yield _parse_sillytavern_chat(source, decoded[start:])


def _parse_sillytavern_chat(source: SourceFile, decoded: list[tuple[int, DecodedJson]]) -> ChatRecord:
    findings = [finding for _, row in decoded for finding in row.findings]
    complete = [(number, row.value) for number, row in decoded if row.complete]
    record = _build_record(
        source,
        decoded[0][0],
        RowsSourceMap([number for number, _ in complete]),
        parse_sillytavern([row for _, row in complete]),
    )
    return replace(record, findings=(*findings, *record.findings))


def _unknown_format_record(source: SourceFile, place: DocumentSourceMap, value: object) -> ChatRecord:
    line, path = place.locate(())
    finding = create_finding(
        FindingCode.UNKNOWN_FORMAT, source.name, f"not a chat: {_describe_value(value)}", line=line, path=path
    )
    return ChatRecord(source.name, line, None, (finding,))


def _describe_value(value: object) -> str:
    if isinstance(value, dict) and value:
        return f"an object with the keys {', '.join(list(value)[:8])}"
    empty = "an empty " if value in ({}, []) else "a JSON "
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return empty + names.get(type(value), "null")


def _refused_record(source: SourceFile, code: FindingCode, message: str, line: int = 1, hint: str = "") -> ChatRecord:
    return ChatRecord(source.name, line, None, (create_finding(code, source.name, message, line=line, hint=hint),))
