"""Recognises files that have a .json or .jsonl name but another type, by their first bytes.

Without this, a compressed file or a web page would cause one meaningless error per line.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from orchestrator.core.structs import Struct

HEAD_BYTES: Final = 4096  # enough for every signature below and for the header row of a table


class FileType(Struct, frozen=True):
    """A type of file without JSON. `name` completes "the file is …"; `hint` explains how to get JSON from it."""

    name: str
    hint: str


_UNPACK_HINT: Final = "Extract it, and add the JSON or JSONL file inside it to the dataset."
_CONVERT_HINT: Final = (
    "Convert it to JSONL, one chat per line; docs/reference/formats.md has an example of each format."
)
_DELETE_HINT: Final = "Remove it from the folder; only JSON and JSONL are read."
_DOWNLOAD_HINT: Final = "The download failed or needs a login: download the file itself again."

BINARY_SIGNATURES: Final = (
    (b"\x1f\x8b", FileType("gzip data", "Decompress it with `gunzip`; its name must end in .gz for that.")),
    (b"PK\x03\x04", FileType("a ZIP archive (or an .xlsx or .docx document)", _UNPACK_HINT)),
    (b"\x28\xb5\x2f\xfd", FileType("zstd data", _UNPACK_HINT)),
    (b"BZh", FileType("bzip2 data", _UNPACK_HINT)),
    (b"\xfd7zXZ\x00", FileType("xz data", _UNPACK_HINT)),
    (b"7z\xbc\xaf\x27\x1c", FileType("a 7z archive", _UNPACK_HINT)),
    (b"PAR1", FileType("a Parquet table", _CONVERT_HINT)),
    (b"ARROW1", FileType("an Arrow table", _CONVERT_HINT)),
    (b"SQLite format 3\x00", FileType("an SQLite database", _CONVERT_HINT)),
    (b"%PDF-", FileType("a PDF document", _DELETE_HINT)),
    (b"\x89PNG\r\n", FileType("a PNG image", _DELETE_HINT)),
    (b"\xff\xd8\xff", FileType("a JPEG image", _DELETE_HINT)),
    (b"GIF8", FileType("a GIF image", _DELETE_HINT)),
)
_TEXT_SIGNATURES: Final = (
    (
        "version https://git-lfs.github.com/",
        FileType("a Git LFS pointer, not the file itself", "Fetch the content with `git lfs pull`."),
    ),
    ("<!doctype html", FileType("a web page (HTML)", _DOWNLOAD_HINT)),
    ("<html", FileType("a web page (HTML)", _DOWNLOAD_HINT)),
    ("<?xml", FileType("an XML document", _CONVERT_HINT)),
    ("{\\rtf", FileType("a Rich Text document", "Save it as plain text (UTF-8) in an editor.")),
    ("%yaml", FileType("a YAML document", _CONVERT_HINT)),
    ("---\n", FileType("a YAML document", _CONVERT_HINT)),
)
_CSV_TABLE: Final = FileType("a table (CSV)", _CONVERT_HINT)
_HEADER_CELL: Final = re.compile(r'"?[^\W\d][\w .-]{0,60}"?')


def find_file_type(head: bytes) -> FileType | None:
    """Return the type of a file by its first bytes, or None if it may be JSON."""
    for signature, kind in BINARY_SIGNATURES:
        if head.startswith(signature):
            return kind
    text = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").lstrip()
    beginning = text[:64].lower().replace("\r\n", "\n")
    for words, kind in _TEXT_SIGNATURES:
        if beginning.startswith(words):
            return kind
    return _CSV_TABLE if _is_table(text.splitlines()[:2]) else None


def _is_table(rows: list[str]) -> bool:
    """Whether the first row names columns. A row that starts with a JSON value means that it is no table."""
    if not rows or any(row.lstrip().startswith(("{", "[")) for row in rows):
        return False
    cells = next((rows[0].split(separator) for separator in ("\t", ";", ",") if separator in rows[0]), [])
    return len(cells) > 1 and all(_HEADER_CELL.fullmatch(cell.strip()) for cell in cells)
