"""Layout of a file, by its first two filled lines: a chat per line, one JSON document, or a frontend's export."""

from __future__ import annotations

from typing import Literal

from orchestrator.dataset.decoding import decode, is_cut_off, is_value
from orchestrator.dataset.formats import recognise
from orchestrator.dataset.formats.sillytavern import is_export

Layout = Literal["empty", "export", "lines", "document"]

COMMENTS = (b"//", b"/*", b"#")
_EXPORT_SIGNS = (b'"mes"', b"_name", b"_metadata")


def find_layout(first: bytes, second: bytes, name: str) -> Layout:
    """Return the layout; `first` and `second` are the first filled lines. Where both are broken, the name decides."""
    if not first:
        return "empty"
    if _is_export(first) or (_is_export(second) and not is_value(first)):
        return "export"  # also where the header line is broken: that is one error, not one per message
    if is_value(first):
        return "lines" if second else "document"
    if is_value(without_comma(first)):
        return "lines"
    named_document = name.lower().endswith(".json")
    if first.lstrip().startswith(COMMENTS):
        return "document" if named_document else "lines"
    if first.strip() != b"[" and second and recognise(decode(second, "", 1).value) is not None:
        return "lines"
    return "document" if named_document or _opens_document(first, second) else "lines"


def without_comma(line: bytes) -> bytes:
    """Return the line without one comma at its end."""
    return line.rstrip().removesuffix(b",")


def _is_export(line: bytes) -> bool:
    return any(sign in line for sign in _EXPORT_SIGNS) and is_export(decode(line, "", 1).value)


def _opens_document(first: bytes, second: bytes) -> bool:
    """Whether a value begins in the first line and goes on in the second. A line of JSONL is never indented."""
    if first.startswith(b"[") or first.strip() == b"{":
        return True
    return bool(second) and not second.startswith(b"{") and is_cut_off(first)
