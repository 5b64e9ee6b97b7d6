"""Secret: a key in memory. It cannot be printed by accident; only `reveal` gives it away.

How the redactor works: all keys have eight characters or more, so every place where one can begin is found by looking
up each eight characters of the text in one set. That is one pass, however many keys there are and however they differ
in length. At such a place a bisection in the sorted list of the keys finds the one that agrees with the text the
longest. A replacement is never read again.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from bisect import bisect
from collections.abc import Iterator
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, urlsplit

MIN_KEY_LENGTH: Final = 8
"""Characters. A shorter text occurs by chance: replacing it would make every message unreadable, and not replacing it
would show a key. No provider has such keys, and the sandbox's have nine or more."""

MIN_KEY_PART_LENGTH: Final = 12
"""Characters from the beginning that are recognised as a part of a key; a vendor's prefix ("sk-proj-") is shorter."""

PRODUCT_NAME: Final = "orchestrator"
"""A key that begins with it is not recognised by a part: file names, hints and ids at a provider hold the name, and
an id that was changed no longer finds its job."""

KEY_PART: Final = "[part of a key]"
KEY_IN_BASE64: Final = "[key in base64]"

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{11,}={0,2}")  # eight bytes are eleven characters
_STANDARD_ALPHABET = str.maketrans("-_", "+/")

Replacement = tuple[int, int, str]  # start, end, replacement


class Secret:
    """A key's value, for the one call that needs it. `repr`, `str` and pickling do not show it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself: for the provider's client and nothing else."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell two keys apart without telling either."""
        return sha256(self._value.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Secret({self.fingerprint})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


class Redactor:
    """Replaces every known key in a text. Whoever resolves a key adds it; whoever writes a text calls this.

    It recognises a key as it is, its first twelve or more characters, and its base64 (also with other text around it,
    as in `Authorization: Basic`). It does not recognise a key that was changed in another way: in upper case,
    reversed, with characters between, in hexadecimal, percent-encoded, or without its beginning.
    """

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._partial_keys: set[str] = set()
        self._key_prefixes: set[str] = set()
        self._sorted_cache: tuple[list[str], list[str]] = ([], [])  # all keys; those of which a part is recognised
        self._shortest = self._longest = 0

    def add(self, secret: Secret, *, parts: bool = True) -> None:
        """Replace this key by `[key FINGERPRINT]` from now on, and with `parts` also its first characters alone.

        One of fewer than eight characters is not added.
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
        self._labels[value] = f"[key {secret.fingerprint}]"

    def add_address(self, secret: Secret) -> None:
        """Replace an address that is itself a secret, and the parts of it that may stand alone.

        A beginning of it is not replaced: "https://hooks" is no secret.
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
        """The whole text without keys."""
        return self._replace(text, len(text))

    def truncate(self, text: str, limit: int) -> str:
        """At most the first `limit` characters of the text, without keys. The rest of it is not read.

        A key that stands across the limit is read to its end, so that no half of it is left.
        """
        margin = 2 * self._longest  # base64 is a third longer than the key
        return self._replace(text[: limit + margin], limit)[:limit]

    def _replace(self, text: str, limit: int) -> str:
        """The text up to `limit`, without keys. One that begins before it is replaced whole."""
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
        """How many characters at the beginning of the text are a key or a part of one, and what replaces them."""
        every, with_parts = self._sorted_keys()
        part = _longest_common_prefix(with_parts, text)
        for length in range(_longest_common_prefix(every, text), MIN_KEY_LENGTH - 1, -1):
            if length < part >= MIN_KEY_PART_LENGTH:
                break
            if label := self._labels.get(text[:length]):
                return length, label
        return (part, KEY_PART) if part >= MIN_KEY_PART_LENGTH else (0, "")

    def _sorted_keys(self) -> tuple[list[str], list[str]]:
        """The keys in order. They are sorted again when one was added, perhaps by another thread; none is removed."""
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
        """Where the encoded text begins in the run is not known, so all four alignments are tried."""
        for start in range(4):
            digits = run[start:]
            digits = digits[: len(digits) - (len(digits) % 4 == 1)]
            decoded = a2b_base64(digits + "=" * (-len(digits) % 4)).decode("latin-1")
            if any(self._find_keys(decoded)):
                return True
        return False


def _longest_common_prefix(keys: list[str], text: str) -> int:
    """With how many characters of one of these keys, which are in order, the text begins."""
    place = bisect(keys, text)  # the key that agrees the longest is a neighbour of the text
    return max((_common_prefix_length(text, key) for key in keys[max(place - 1, 0) : place + 1]), default=0)


def _common_prefix_length(one: str, other: str) -> int:
    """How many characters both begin with."""
    if one.startswith(other):
        return len(other)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle - 1)
    return low
