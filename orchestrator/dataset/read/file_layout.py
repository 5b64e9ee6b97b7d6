"""Detects the layout of a file from its first two lines: a chat per line, one JSON document, or an export."""

from __future__ import annotations

from typing import Literal

from orchestrator.dataset.formats import parse_chat
from orchestrator.dataset.formats.sillytavern import is_export_line
from orchestrator.dataset.read.json_reader import decode_json, is_json_container, is_truncated_json

FileLayout = Literal["empty", "export", "lines", "document"]

COMMENT_PREFIXES = (b"//", b"/*", b"#")
_SILLYTAVERN_MARKERS = (b'"mes"', b"_name", b"_metadata")


def detect_layout(first: bytes, second: bytes, name: str) -> FileLayout:
    """Return the layout. `first` and `second` are the first non-blank lines; if both are broken, `name` decides."""
    if not first:
        return "empty"
    if _is_sillytavern(first) or (_is_sillytavern(second) and not is_json_container(first)):
        return "export"  # also if the header line is broken: that is one error, not one per message
    if is_json_container(first):
        return "lines" if second else "document"
    if is_json_container(strip_trailing_comma(first)):
        return "lines"
    named_document = name.lower().endswith(".json")
    if first.lstrip().startswith(COMMENT_PREFIXES):
        return "document" if named_document else "lines"
    if first.strip() != b"[" and second and parse_chat(decode_json(second, "", 1).value) is not None:
        return "lines"
    return "document" if named_document or _opens_document(first, second) else "lines"


def strip_trailing_comma(line: bytes) -> bytes:
    """Return the line without one comma at its end."""
    return line.rstrip().removesuffix(b",")


def _is_sillytavern(line: bytes) -> bool:
    return any(marker in line for marker in _SILLYTAVERN_MARKERS) and is_export_line(decode_json(line, "", 1).value)


def _opens_document(first: bytes, second: bytes) -> bool:
    """Whether a value starts in the first line and continues in the second. A line of JSONL is never indented."""
    if first.startswith(b"[") or first.strip() == b"{":
        return True
    return bool(second) and not second.startswith(b"{") and is_truncated_json(first)
