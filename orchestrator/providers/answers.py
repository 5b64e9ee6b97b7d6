"""Answers: the shapes that every dialect decodes answers into, and what an answer of another shape means.

An answer that does not say what was asked for is never taken for "no" or for "nothing there": a look-up that cannot
be read must be repeated, because taking it for an empty list would create, and pay for, a second remote job.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

Item = TypeVar("Item")
Decoded = TypeVar("Decoded")

UNREADABLE: Final = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading an answer of an unexpected shape raises; msgspec's own errors are ValueErrors."""

EXCERPT_LENGTH: Final = 200  # characters of an unreadable answer that are quoted in a message
EXCERPT_SOURCE_LENGTH: Final = 4_000  # bytes of it that are searched for keys first

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An id at the provider: it goes into paths, cursors, the database and messages."""


class MalformedAnswer(ValueError):
    """The provider answered with something else than was asked for; the message quotes the beginning of it."""


class Page(msgspec.Struct, Generic[Item]):
    """One page of a list. `data` is required: a server that only reports an error has not said that it is empty."""

    data: list[Item]
    has_more: bool | None = None
    object: Any = None
    error: Any = None

    def __post_init__(self) -> None:
        if self.error or self.object == "error":
            raise ValueError("the list carries an error")
        if self.has_more and not self.data:
            raise ValueError("the page announces more items but has none to continue after")

    def has_next(self, limit: int) -> bool:
        """Whether another page has to be read. A full page of a server that does not say may have a next one."""
        return len(self.data) == limit if self.has_more is None else self.has_more


def decode_answer(
    decoder: msgspec.json.Decoder[Decoded], content: bytes, path: str, redact: Callable[[str], str]
) -> Decoded:
    """Decode what was answered to a request for `path`. Raises MalformedAnswer."""
    try:
        return decoder.decode(content)
    except UNREADABLE as error:
        raise MalformedAnswer(
            f"the answer to {path} is not what was asked for ({error}); it begins with: "
            f"{excerpt(content, redact) or 'nothing, it is empty'}"
        ) from error


def excerpt(content: bytes, redact: Callable[[str], str]) -> str:
    """The beginning of an answer on one line, without keys."""
    text = content[:EXCERPT_SOURCE_LENGTH].decode("utf-8", "replace")
    if len(content) > EXCERPT_SOURCE_LENGTH:  # half a key at the cut would not be recognised
        text = re.sub(r"[^\s\"'<>=&]*\Z", "", text)
    line = redact(" ".join("".join(c if c.isprintable() else " " for c in text).split()))
    return line if len(line) <= EXCERPT_LENGTH else f"{line[:EXCERPT_LENGTH]}…"
