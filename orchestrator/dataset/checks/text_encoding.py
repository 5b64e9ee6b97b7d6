"""Warnings about texts that were decoded wrongly, or escaped for HTML, before they were exported."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.dataset.checks.text_walk import MessageText
from orchestrator.dataset.example import ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode

REPLACEMENT_CHARACTER = "\ufffd"

# UTF-8 decoded as Windows-1252: the first byte becomes a letter, the further bytes become Windows-1252 characters.
# Quotation marks and dashes can be such further bytes, too. But U+00C2 and U+00C3 are capital letters in some
# languages, and a closing quotation mark may follow a capital letter; so after these two they are not a sign.
_CP1252_CHARACTERS = (
    "\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2020\u2021\u2022\u2026\u2030\u20ac\u2122"
)
_CP1252_QUOTES = "\u2013\u2014\u2018-\u201e\u2039\u203a"
_MOJIBAKE = re.compile(
    "\u00c2[\u00a0-\u00aa\u00ac-\u00ba\u00bc-\u00bf]"
    f"|\u00c3[\u0080-\u00aa\u00ac-\u00ba\u00bc-\u00bf{_CP1252_CHARACTERS}]"
    f"|\u00e2\u20ac|\u00e2[\u201a{_CP1252_CHARACTERS}][\u0080-\u00bf{_CP1252_CHARACTERS}{_CP1252_QUOTES}]"
    f"|\u00f0\u0178[\u0080-\u00bf{_CP1252_CHARACTERS}{_CP1252_QUOTES}]"
)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,6}|#x[0-9a-fA-F]{2,5});")
_MARKDOWN_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_MOJIBAKE_BYTES = re.compile(b"\xc3[\x82\x83\xa2\xb0]")  # U+00C2, U+00C3, U+00E2, U+00F0 in UTF-8


def check_text_encoding(texts: list[MessageText], line: bytes) -> Iterator[ExampleIssue]:
    """Yield a warning for each damaged text. `line` is the canonical form of the example, for a fast test."""
    if b"&" not in line and (
        line.isascii() or not (_MOJIBAKE_BYTES.search(line) or REPLACEMENT_CHARACTER.encode() in line)
    ):
        return
    for _, text, key_path in texts:
        if count := text.count(REPLACEMENT_CHARACTER):
            message = f"the text contains U+FFFD, the replacement for a lost character{_format_times(count)}"
            yield ExampleIssue(FindingCode.BROKEN_ENCODING, key_path, message)
        if matches := _MOJIBAKE.findall(text):
            message = f"the text contains {matches[0]!r}{_format_times(len(matches))}: UTF-8 decoded as Windows-1252"
            yield ExampleIssue(FindingCode.BROKEN_ENCODING, key_path, message)
        if "&" in text and (entities := _ENTITY.findall(_MARKDOWN_CODE.sub("", text))):
            message = f"the text contains the HTML entity {entities[0]}{_format_times(len(entities))}"
            yield ExampleIssue(FindingCode.ESCAPED_HTML, key_path, message)


def _format_times(count: int) -> str:
    return f", {count} times" if count > 1 else ""
