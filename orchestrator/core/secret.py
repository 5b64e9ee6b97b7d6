"""Secret: a key in memory. It cannot be printed by accident; only `reveal` gives it away."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, urlsplit

LEAST_PART: Final = 8  # characters: shorter parts of an address are words that occur by chance


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
    """Replaces every known key in a text. Whoever resolves a key adds it; whoever writes a text calls this."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, str]] = {}  # by length: few differ in it, so that ten thousand cost no more

    def add(self, secret: Secret) -> None:
        """From now on this key is replaced by `[key FINGERPRINT]`."""
        if value := secret.reveal():
            self._known.setdefault(len(value), {})[value] = f"[key {secret.fingerprint}]"

    def add_address(self, secret: Secret) -> None:
        """The same for an address that is itself a secret, and for the parts of it that may stand alone."""
        url = urlsplit(secret.reveal())
        host = url.netloc.rpartition("@")[2].partition(":")[0]
        parts = [url.username, url.password, *url.path.split("/"), *(value for _, value in parse_qsl(url.query))]
        if "." not in host:  # some messengers have a token where a host would be
            parts.append(host)
        for part in (secret.reveal(), *parts):
            if part and len(part) >= LEAST_PART and part != "localhost":
                self.add(Secret(part))

    def __call__(self, text: str) -> str:
        for length in sorted(self._known, reverse=True):  # the longest first, because one key may begin another
            known = self._known[length]
            ends = range(length, len(text) + 1)
            for value in [part for end in ends if (part := text[end - length : end]) in known]:
                text = text.replace(value, known[value])
        return text
