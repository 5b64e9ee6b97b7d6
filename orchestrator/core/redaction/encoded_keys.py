"""Finds the places of a text that may contain an encoded key: escapes, hexadecimal and base64."""

# Theory of operation
#
# A provider, a proxy or a library may repeat a key in another form: percent-encoded in a URL, escaped in JSON, Python
# or HTML, in hexadecimal or in base64. Each function here reads the text once and returns what it decodes to, with
# the place in the original text. The redactor looks for keys in the decoded text. Digests are hexadecimal and base64
# as well, and every log line has one: what does not decode to printable characters is dropped here at once. No
# pattern begins with an unbounded repetition of what may also begin the next match, so that a hostile text cannot
# make it slow.

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from orchestrator.core.structs import Struct

_ESCAPE = re.compile(
    r"%(?:25)*(?P<percent>[0-9A-Fa-f]{2})"  # percent-encoded, also several times
    r"|\\{1,8}(?:u00|x)(?P<unicode>[0-9A-Fa-f]{2})"  # JSON, Python; one level of escaping doubles the backslashes
    r"""|\\{1,8}(?P<punctuation>["'/])"""
    r"|&\#[xX]0{0,6}(?P<reference>[0-9A-Fa-f]{2});"  # HTML and XML
    r"|&\#0{0,6}(?P<decimal>[0-9]{2,3});"
    r"|&(?P<entity>amp|lt|gt|quot|apos);"
)
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ESCAPE_CHARACTERS: Final = ("%", "\\", "&")

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{11,}={0,2}")  # eight bytes are eleven characters
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_HEX_RUN = re.compile(r"[0-9A-Fa-f](?:[ :-]?[0-9A-Fa-f]){15,}")  # eight bytes are sixteen digits
_PRINTABLE_RUN = re.compile(rb"[!-~]{8,}")  # the characters of a key
_NO_SEPARATORS = str.maketrans("", "", " :-")


class UnescapedText(Struct, frozen=True):
    """A text without its escapes, and where each of its characters stands in the original."""

    text: str
    _unescaped_ends: list[int]
    _original_ends: list[int]

    def original_position(self, position: int) -> int:
        """Return the place in the original text of this place in the unescaped text."""
        index = bisect_right(self._unescaped_ends, position) - 1
        return self._original_ends[index] + position - self._unescaped_ends[index]


def unescape(text: str) -> UnescapedText | None:
    """Replace every escape of an ASCII character by the character; None if there is no escape."""
    if not any(character in text for character in _ESCAPE_CHARACTERS):
        return None
    pieces, unescaped_ends, original_ends = [], [0], [0]
    length = done = 0
    for escape in _ESCAPE.finditer(text):
        pieces += [text[done : escape.start()], _decode_escape(escape)]
        length += escape.start() - done + 1
        done = escape.end()
        unescaped_ends.append(length)
        original_ends.append(done)
    if not done:
        return None
    return UnescapedText("".join([*pieces, text[done:]]), unescaped_ends, original_ends)


def _decode_escape(escape: re.Match[str]) -> str:
    kind, value = escape.lastgroup, escape[escape.lastgroup or 0]
    if kind == "punctuation":
        return value
    if kind == "entity":
        return _ENTITIES[value]
    return chr(int(value, 10 if kind == "decimal" else 16))


def find_base64(text: str, shortest: int) -> Iterator[tuple[int, int, list[str]]]:
    """Yield start, end and the decoded texts of what may be base64 of `shortest` or more characters of a key.

    The alignment is unknown, because other text may be encoded before the key, so all four are decoded.
    """
    least = shortest * 4 // 3
    for run in _BASE64_RUN.finditer(text):
        if run.end() - run.start() >= least:
            digits = run[0].rstrip("=").translate(_STANDARD_ALPHABET)
            if decoded := [each for start in range(4) for each in _list_printable(_decode_base64(digits[start:]))]:
                yield run.start(), run.end(), decoded


def find_hex(text: str, shortest: int) -> Iterator[tuple[int, int, list[str]]]:
    """Yield start, end and the decoded texts of what may be hexadecimal of `shortest` or more characters of a key.

    The digits may be separated by single spaces, colons or hyphens. Both alignments are decoded.
    """
    for run in _HEX_RUN.finditer(text):
        digits = run[0].translate(_NO_SEPARATORS)
        decoded = [each for start in range(2) for each in _list_printable(_decode_hex(digits[start:]))]
        if decoded and len(digits) >= 2 * shortest:
            yield run.start(), run.end(), decoded


def _decode_base64(digits: str) -> bytes:
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    return a2b_base64(digits + "=" * (-len(digits) % 4))


def _decode_hex(digits: str) -> bytes:
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _list_printable(decoded: bytes) -> list[str]:
    return [run.decode("ascii") for run in _PRINTABLE_RUN.findall(decoded)]
