"""Keys in memory that cannot be printed by accident, and the redactor that removes keys from texts."""

# How the redactor works
#
# It runs on every log line and every stored message, with up to ten thousand keys, so its cost must not depend on the
# number of keys. All keys have at least eight characters (MIN_KEY_LENGTH). Each window of eight characters of the
# text is looked up in one set of the keys' first eight characters: that is one pass over the text. Where a window
# matches, a bisection in the sorted list of keys finds the key with the longest common prefix. Replacements are not
# read again.
#
# Three forms of a key are found: the whole key, its first twelve or more characters (MIN_KEY_PART_LENGTH: providers
# quote beginnings of keys in their messages), and base64, at all four alignments, because a header such as
# `Authorization: Basic` encodes other text before the key.

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect
from collections.abc import Iterator
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, urlsplit

MIN_KEY_LENGTH: Final = 8
"""Characters. A shorter text occurs by chance, and replacing it would make messages unreadable. No provider has such
keys; the sandbox's have nine or more."""

MIN_KEY_PART_LENGTH: Final = 12
"""Characters of a key's beginning that are recognised as a part of it; a vendor's prefix ("sk-proj-") is shorter."""

PRODUCT_NAME: Final = "orchestrator"
"""Parts of a key that begins with it are not recognised: file names, hints and tags contain the name, and a changed
tag would no longer find its remote job."""

KEY_PART: Final = "[part of a key]"
KEY_IN_BASE64: Final = "[key in base64]"

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{11,}={0,2}")  # eight bytes are eleven characters
_STANDARD_ALPHABET = str.maketrans("-_", "+/")

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

    It recognises a whole key, its first twelve or more characters, and its base64 (also with other text around it,
    as in `Authorization: Basic`). It does not recognise a key that is changed in another way: in upper case,
    reversed, with inserted characters, in hexadecimal, percent-encoded, or without its beginning.
    """

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._partial_keys: set[str] = set()
        self._key_prefixes: set[str] = set()
        self._sorted_cache: tuple[list[str], list[str]] = ([], [])  # all keys; those of which a part is recognised
        self._shortest = self._longest = 0

    def add(self, secret: Secret, *, parts: bool = True, fingerprint: str | None = None) -> None:
        """Replace this key by `[key FINGERPRINT]` from now on; with `parts`, also its first characters on their own.

        A key of fewer than eight characters is not added. `fingerprint` is that of a larger secret that contains
        this one: `remove` forgets them together.
        """
        value = secret.reveal()
        if len(value) < MIN_KEY_LENGTH:
            return
        begins_in_public = "://" in value or value.startswith(
            PRODUCT_NAME
        )  # what an address begins with is no secret
        if parts and not begins_in_public:
            self._partial_keys.add(value)
        self._key_prefixes.add(value[:MIN_KEY_LENGTH])
        self._shortest = min(self._shortest or len(value), len(value))
        self._longest = max(self._longest, len(value))
        self._labels[value] = _format_label(fingerprint or secret.fingerprint)

    def remove(self, fingerprint: str) -> None:
        """Stop replacing a key that no longer works: the number of keys must not grow for ever."""
        label = _format_label(fingerprint)
        expired = {value for value, known in self._labels.items() if known == label}
        self._labels = {value: known for value, known in self._labels.items() if value not in expired}
        self._partial_keys -= expired
        self._key_prefixes = {value[:MIN_KEY_LENGTH] for value in self._labels}
        self._sorted_cache = ([], [])  # its length may be the same again after the next addition

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
        margin = 2 * self._longest  # base64 is a third longer than the key
        return self._replace(text[: limit + margin], limit)[:limit]

    def _replace(self, text: str, limit: int) -> str:
        """Return the text up to `limit` without keys. A key that begins before the limit is replaced completely."""
        if not self._labels:
            return text[:limit]
        pieces, done = [], 0
        for start, end, label in sorted([*self._find_keys(text), *self._find_base64(text)]):
            if start >= limit:
                break
            if start >= done:
                pieces += [text[done:start], label]
            done = max(done, end)
        return "".join(pieces) + text[done:limit]

    def _find_keys(self, text: str) -> Iterator[Replacement]:
        starts, width, done = self._key_prefixes, MIN_KEY_LENGTH, 0
        for start in [at for at in range(len(text) - width + 1) if text[at : at + width] in starts]:
            if start >= done:
                length, label = self._match(text[start : start + self._longest])
                if length:
                    done = start + length
                    yield start, done, label

    def _match(self, text: str) -> tuple[int, str]:
        """Return the length of the key, or part of a key, at the beginning of the text, and its replacement."""
        every, with_parts = self._sorted_keys()
        part = _longest_common_prefix(with_parts, text)
        for length in range(_longest_common_prefix(every, text), MIN_KEY_LENGTH - 1, -1):
            if length < part >= MIN_KEY_PART_LENGTH:
                break
            if label := self._labels.get(text[:length]):
                return length, label
        return (part, KEY_PART) if part >= MIN_KEY_PART_LENGTH else (0, "")

    def _sorted_keys(self) -> tuple[list[str], list[str]]:
        """Return the sorted keys. They are sorted again after an addition, maybe by another thread."""
        every, with_parts = self._sorted_cache
        if len(every) != len(self._labels) or len(with_parts) != len(self._partial_keys):
            self._sorted_cache = sorted(self._labels), sorted(self._partial_keys)
        return self._sorted_cache

    def _find_base64(self, text: str) -> Iterator[Replacement]:
        least = self._shortest * 4 // 3
        for run in _BASE64_RUN.finditer(text):
            if run.end() - run.start() >= least and self._is_key_in_base64(
                run[0].rstrip("=").translate(_STANDARD_ALPHABET)
            ):
                yield run.start(), run.end(), KEY_IN_BASE64

    def _is_key_in_base64(self, run: str) -> bool:
        """Return whether the base64 text contains a key. Its alignment is unknown, so all four are tried."""
        for start in range(4):
            digits = run[start:]
            digits = digits[: len(digits) - (len(digits) % 4 == 1)]
            decoded = a2b_base64(digits + "=" * (-len(digits) % 4)).decode("latin-1")
            if any(self._find_keys(decoded)):
                return True
        return False


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
