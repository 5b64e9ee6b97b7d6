"""Printable: other people's texts as a terminal, a pipe or a file can take them.

A provider's message or a file's name may hold anything: terminal escapes that clear the screen, a line break with a
forged line after it, or a mark that shows the text backwards. Such characters are shown as escapes (`\\x1b`, `\\n`,
`\\u202e`). This belongs at the edge, where a text becomes part of a line; what is stored stays as it came.
"""

from __future__ import annotations

import re
from typing import Final

_SURROGATES: Final = "\ud800-\udfff"  # halves of characters, which UTF-8 cannot encode
_BIDI_MARKS: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_LINE_BREAKS: Final = "\u2028\u2029"  # \x85 is one of the C1 characters

_UNSAFE_IN_LINE: Final = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI_MARKS}{_LINE_BREAKS}{_SURROGATES}]")
_UNSAFE_IN_LINES: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI_MARKS}{_LINE_BREAKS}{_SURROGATES}]")
_UNSAFE_IN_JSON: Final = re.compile(f"[\x7f-\x9f{_BIDI_MARKS}{_LINE_BREAKS}{_SURROGATES}]")


def sanitize_line(text: str) -> str:
    """The text as a part of one line."""
    return _UNSAFE_IN_LINE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def sanitize_lines(text: str) -> str:
    """The text with its line breaks and tabs, and nothing else that a terminal would carry out."""
    return _UNSAFE_IN_LINES.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def sanitize_json(document: str) -> str:
    """A JSON document, which escapes the other control characters itself. It means the same as before."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
