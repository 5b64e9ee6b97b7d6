"""Keys in memory that cannot be printed by accident, and the redactor that removes keys from texts."""

# How the redactor works
#
# It runs on every log line and every stored message, with up to ten thousand keys, so its cost must not depend on the
# number of keys. All keys have at least eight characters (MIN_KEY_LENGTH). Each window of eight characters of the
# text is looked up in one set of the keys' first and last eight characters: that is one pass over the text. Where a
# window matches, a bisection in the sorted list of keys (of reversed keys for an end) finds the key with the longest
# common prefix. Replacements are not read again.
#
# Case is ignored: text and keys are compared in lower case. A key is found whole, by its first or by its last twelve
# or more characters (MIN_KEY_PART_LENGTH: providers quote beginnings of keys, and a text that was cut has only an
# end), and in the encodings that `encoded_keys` decodes. There are two passes at most: over the text as it is, and,
# where it has escapes (%2D, \u002d, &#45;), over the unescaped text.

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from orchestrator.core.redaction.encoded_keys import find_base64, find_hex, unescape

MIN_KEY_LENGTH: Final = 8
"""Characters. A shorter text occurs by chance, and replacing it would make messages unreadable. No provider has such
keys; the sandbox's have nine or more."""

MIN_KEY_PART_LENGTH: Final = 12
"""Characters of a key's beginning or end that are recognised as a part of it; a vendor's prefix ("sk-proj-") is
shorter."""

PRODUCT_NAME: Final = "orchestrator"
"""Parts of a key that begins with it are not recognised: file names, hints and tags contain the name, and a changed
tag would no longer find its remote job."""

_SANDBOX_KEY = re.compile(r"sandbox-[a-z0-9-]+")
"""A key of the sandbox without a secret part. Its end is not recognised: it is the account's name."""

KEY_PART: Final = "[part of a key]"
KEY_IN_BASE64: Final = "[key in base64]"
KEY_IN_HEX: Final = "[key in hexadecimal]"

_MAX_ESCAPE_LENGTH: Final = 6
"""Characters of the longest usual escape of one character: `\\u002d`."""
_LOWER_CASE: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

Replacement = tuple[int, int, str]  # start, end, replacement


class Secret:
    """The value of a key. `repr` and `str` show a fingerprint only, and it cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key itself, for the provider's client only."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that distinguish keys without revealing them."""
        return sha256(self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


class Redactor:
    """Replaces every known key in a text. Code that resolves a key adds it; code that writes a text calls this.

    It recognises a whole key and its first or last twelve or more characters, in upper and lower case, with escapes
    (percent-encoded, JSON, HTML), in hexadecimal and in base64 (also with other text around it, as in
    `Authorization: Basic`). It does not recognise a key that is changed in another way: reversed, with inserted
    characters, encrypted, or a part from its middle.
    """

    def __init__(self) -> None:
        # All keys are in lower case here.
        self._labels: dict[str, str] = {}
        self._partial_keys: set[str] = set()
        self._windows: set[str] = set()  # the first and last eight characters
        self._sorted_cache: tuple[list[str], list[str], list[str]] = ([], [], [])
        self._shortest = self._longest = 0

    def add(self, secret: Secret, *, parts: bool = True, fingerprint: str | None = None) -> None:
        """Replace this key by `[key FINGERPRINT]` from now on; with `parts`, also its first or last characters alone.

        A key of fewer than eight characters is not added. `fingerprint` is that of a larger secret that contains
        this one: `remove` forgets them together.
        """
        value = _to_lower_case(secret.reveal())
        if len(value) < MIN_KEY_LENGTH:
            return
        begins_in_public = "://" in value or value.startswith(
            PRODUCT_NAME
        )  # what an address begins with is no secret
        if parts and not begins_in_public:
            self._partial_keys.add(value)
        self._windows |= self._list_windows(value)
        self._shortest = min(self._shortest or len(value), len(value))
        self._longest = max(self._longest, len(value))
        self._labels[value] = _format_label(fingerprint or secret.fingerprint)

    def remove(self, fingerprint: str) -> None:
        """Stop replacing a key that no longer works: the number of keys must not grow for ever."""
        label = _format_label(fingerprint)
        expired = {value for value, known in self._labels.items() if known == label}
        self._labels = {value: known for value, known in self._labels.items() if value not in expired}
        self._partial_keys -= expired
        self._windows = {window for value in self._labels for window in self._list_windows(value)}
        self._sorted_cache = ([], [], [])  # its length may be the same again after the next addition

    def add_address(self, secret: Secret) -> None:
        """Replace an address that is itself a secret, and those of its parts that may appear alone.

        The beginning of an address is not replaced: "https://hooks" is not a secret.
        """
        url = urlsplit(secret.reveal())
        host = url.netloc.rpartition("@")[2].partition(":")[0]
        parts = [url.username, url.password, *url.path.split("/"), *(value for _, value in parse_qsl(url.query))]
        if "." not in host:  # some messengers have a token where a host would be
            parts.append(host)
        for part in (secret.reveal(), *parts):
            if part and part != "localhost":
                self.add(Secret(part), parts=False)

    def __call__(self, text: str) -> str:
        """Return the text without keys."""
        return self._replace(text, len(text))

    def truncate(self, text: str, limit: int) -> str:
        """Return at most `limit` characters of the text, without keys.

        A key across the limit is read to its end, so that no part of it remains. The text behind it is not read.
        """
        margin = _MAX_ESCAPE_LENGTH * self._longest
        return self._replace(text[: limit + margin], limit)[:limit]

    def _replace(self, text: str, limit: int) -> str:
        """Return the text up to `limit` without keys. A key that begins before the limit is replaced completely."""
        if not self._labels:
            return text[:limit]
        pieces, done = [], 0
        for start, end, label in sorted(self._find_all(text)):
            if start >= limit:
                break
            if start >= done:
                pieces += [text[done:start], label]
            done = max(done, end)
        return "".join(pieces) + text[done:limit]

    def _find_all(self, text: str) -> Iterator[Replacement]:
        """Yield the keys in the text and in its unescaped form."""
        yield from self._find_unescaped(text)
        if unescaped := unescape(text):
            for start, end, label in self._find_unescaped(unescaped.text):
                yield unescaped.original_position(start), unescaped.original_position(end), label

    def _find_unescaped(self, text: str) -> Iterator[Replacement]:
        yield from self._find_keys(_to_lower_case(text))
        shortest = min(self._shortest, MIN_KEY_PART_LENGTH)
        for label, runs in ((KEY_IN_BASE64, find_base64(text, shortest)), (KEY_IN_HEX, find_hex(text, shortest))):
            for start, end, decoded in runs:
                if any(any(self._find_keys(_to_lower_case(each))) for each in decoded):
                    yield start, end, label

    def _find_keys(self, text: str) -> Iterator[Replacement]:
        windows, width, done = self._windows, MIN_KEY_LENGTH, 0
        for start in [at for at in range(len(text) - width + 1) if text[at : at + width] in windows]:
            if start >= done:
                length, label = self._match(text[start : start + self._longest])
                if length:
                    done = start + length
                    yield start, done, label
            end = start + width
            if end > done:
                length = self._match_end(text[max(done, end - self._longest) : end])
                if length:
                    done = end
                    yield end - length, end, KEY_PART

    def _match(self, text: str) -> tuple[int, str]:
        """Return the length of the key, or part of a key, at the beginning of the text, and its replacement."""
        every, with_parts, _ = self._sorted_keys()
        part = _longest_common_prefix(with_parts, text)
        for length in range(_longest_common_prefix(every, text), MIN_KEY_LENGTH - 1, -1):
            if length < part >= MIN_KEY_PART_LENGTH:
                break
            if label := self._labels.get(text[:length]):
                return length, label
        return (part, KEY_PART) if part >= MIN_KEY_PART_LENGTH else (0, "")

    def _match_end(self, text: str) -> int:
        """Return the length of the key's end at the end of the text; 0 if it is too short to be recognised."""
        _, _, reversed_keys = self._sorted_keys()
        length = _longest_common_prefix(reversed_keys, text[::-1])
        return length if length >= MIN_KEY_PART_LENGTH else 0

    def _sorted_keys(self) -> tuple[list[str], list[str], list[str]]:
        """Return all keys, those with parts, and the reversed ones with a secret end, each list sorted.

        They are sorted again after an addition, maybe by another thread.
        """
        every, with_parts, _ = self._sorted_cache
        if len(every) != len(self._labels) or len(with_parts) != len(self._partial_keys):
            ends = (value[::-1] for value in self._partial_keys if _has_secret_end(value))
            self._sorted_cache = sorted(self._labels), sorted(self._partial_keys), sorted(ends)
        return self._sorted_cache

    def _list_windows(self, value: str) -> set[str]:
        """Return the first eight characters of a key, and the last eight if its end is recognised."""
        windows = {value[:MIN_KEY_LENGTH]}
        if value in self._partial_keys and _has_secret_end(value):
            windows.add(value[-MIN_KEY_LENGTH:])
        return windows


def _has_secret_end(value: str) -> bool:
    return not _SANDBOX_KEY.fullmatch(value)


def _to_lower_case(text: str) -> str:
    """Convert the letters A to Z. `str.lower` may change the length of other texts, and with it every place."""
    return text.lower() if text.isascii() else text.translate(_LOWER_CASE)


def _format_label(fingerprint: str) -> str:
    return f"[key {fingerprint}]"


def _longest_common_prefix(keys: list[str], text: str) -> int:
    """Return the length of the longest common prefix of the text and one of these sorted keys."""
    place = bisect(keys, text)  # the key with the longest common prefix is a neighbour
    return max((_common_prefix_length(text, key) for key in keys[max(place - 1, 0) : place + 1]), default=0)


def _common_prefix_length(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    if one.startswith(other):
        return len(other)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle - 1)
    return low
