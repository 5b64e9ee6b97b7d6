"""Decodes responses into the shapes that all dialects share.

A response of an unexpected shape is an error and never "no" or "nothing there": a look-up that cannot be read must be
repeated, because treating it as an empty list would create, and pay for, a second remote job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from orchestrator.core.secret import Redactor

Item = TypeVar("Item")
Decoded = TypeVar("Decoded")

DECODE_ERRORS: Final = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading a response of an unexpected shape raises; msgspec's own errors are ValueErrors."""

EXCERPT_CHARACTERS: Final = 200  # characters of an unreadable answer that are quoted in a message
EXCERPT_SOURCE_BYTES: Final = 4_000  # bytes of it that are searched for keys first

MAX_LIST_PAGES: Final = 1_000
MAX_LIST_ITEMS: Final = 100_000
MAX_LIST_SECONDS: Final = 180.0
MAX_LIST_BYTES: Final = 64 * 1024 * 1024  # of all its pages: 50,000 jobs, as OpenAI shows them

MAX_NAME_LENGTH: Final = 256
MAX_INTEGER: Final = 2**63 - 1  # of a database column
MAX_TEXT_LENGTH: Final = 2_000  # of a message; what is kept of it is shorter
MAX_HYPERPARAMETERS: Final = 50

_UNPRINTABLE: Final = (
    r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # and marks that reverse a text
)
_PRINTABLE_PATTERN: Final = rf"^[^{_UNPRINTABLE}]*\Z"  # not `$`, which also matches before a line break at the end
RemoteId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_LENGTH, pattern=_PRINTABLE_PATTERN)]
"""An id at the provider: it goes into paths, cursors, the database and messages."""
RemoteIdOrEmpty = Annotated[str, msgspec.Meta(max_length=MAX_NAME_LENGTH, pattern=_PRINTABLE_PATTERN)]
"""An id; an empty text where the server has none."""
StatusWord = Annotated[str, msgspec.Meta(max_length=64, pattern=_PRINTABLE_PATTERN)]
"""A status word of the provider, which is stored and shown."""


class MalformedResponse(ValueError):
    """A response has an unexpected shape; the message quotes its beginning."""


class ListPage(msgspec.Struct, Generic[Item]):
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

    def has_next(self, new_items: int) -> bool:
        """Whether another page has to be read, after so many items that no page before had.

        A server that does not say may have one after any page, however many items were asked for: its own limit may
        be lower. The page after the last one is empty or, where the server knows no pages, has the same items again.
        """
        return new_items > 0 if self.has_more is None else self.has_more


class ListLimits:
    """Limits the reading of one list: a server that always announces another page must not block a job forever."""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._until = clock() + MAX_LIST_SECONDS
        self._pages = self._items = self._bytes = 0
        self._cursors: set[str] = set()

    @property
    def seconds_left(self) -> float:
        """The seconds that the next page may take. Raises MalformedResponse when the time is over."""
        left = self._until - self._clock()
        if left <= 0:
            raise self._exceeded(f"takes longer than {MAX_LIST_SECONDS:g} seconds")
        return left

    def count_page(self, items: int, cursor: str) -> None:
        """Count a page that is followed by another one, after this cursor. Raises MalformedResponse."""
        self._pages += 1
        self._items += items
        if cursor in self._cursors:
            raise MalformedResponse(f"the provider's list {self._path} repeats itself after {cursor}")
        self._cursors.add(cursor)
        if self._pages >= MAX_LIST_PAGES:
            raise self._exceeded(f"has more than {MAX_LIST_PAGES:,} pages")
        if self._items >= MAX_LIST_ITEMS:
            raise self._exceeded(f"has more than {MAX_LIST_ITEMS:,} items")

    def count_bytes(self, size: int) -> None:
        """Count the bytes of a page before it is decoded. Raises MalformedResponse."""
        self._bytes += size
        if self._bytes > MAX_LIST_BYTES:
            raise self._exceeded(f"is larger than {MAX_LIST_BYTES >> 20} MiB")

    def _exceeded(self, how: str) -> MalformedResponse:
        return MalformedResponse(
            f"the provider's list {self._path} {how}: {self._pages:,} pages with {self._items:,} items were read. "
            "Delete what is no longer needed at the provider, or report the list to it"
        )


def decode_response(decoder: msgspec.json.Decoder[Decoded], content: bytes, path: str, redact: Redactor) -> Decoded:
    """Decode the response to a request for `path`. Raises MalformedResponse."""
    try:
        return decoder.decode(content)
    except DECODE_ERRORS as error:
        raise MalformedResponse(
            f"the response to {path} has an unexpected shape ({error}); it begins with: "
            f"{format_excerpt(content, redact) or 'nothing, because it is empty'}"
        ) from error


def format_excerpt(content: bytes, redact: Redactor) -> str:
    """Return the beginning of a response on one line, without keys."""
    text = content[:EXCERPT_SOURCE_BYTES].decode("utf-8", "replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    cut = redact.truncate(line, EXCERPT_CHARACTERS)
    return f"{cut}…" if len(line) > EXCERPT_CHARACTERS else cut


def check_id(requested_id: str, response_id: str, path: str) -> None:
    """Raise MalformedResponse for a response about another object than the requested one."""
    if requested_id != response_id:
        raise MalformedResponse(
            f"the response to {path} is about {response_id} instead of {requested_id}, so it is not used"
        )


def text_or_none(value: object) -> str | None:
    """Return an explanatory text, shortened; None for anything else, because nothing may fail because of it."""
    return value[:MAX_TEXT_LENGTH] if isinstance(value, str) and value else None


def name_or_none(value: object) -> str | None:
    """Return an informative name of at most 256 printable characters; None for anything else."""
    return value if isinstance(value, str) and 1 <= len(value) <= MAX_NAME_LENGTH and value.isprintable() else None


def number_or_none(value: object) -> float | None:
    """Return an informative finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else None  # which is false for NaN


def count_or_none(value: object) -> int | None:
    """Return an informative count; None for anything else."""
    number = number_or_none(value)
    return int(number) if number is not None and number >= 0 else None


def parse_hyperparameters(raw: object) -> dict[str, Any]:
    """Return the hyperparameters that a job was trained with: a limited number of plain values."""
    kept: dict[str, Any] = {}
    for name, value in raw.items() if isinstance(raw, dict) else ():
        if isinstance(value, dict) and (
            inner := {n: v for n, v in value.items() if _is_plain_value(n) and _is_plain_value(v)}
        ):
            kept[name] = dict(list(inner.items())[:MAX_HYPERPARAMETERS])
        elif _is_plain_value(name) and _is_plain_value(value):
            kept[name] = value
    return dict(list(kept.items())[:MAX_HYPERPARAMETERS])


def _is_plain_value(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= 64 and value.isprintable()
    return isinstance(value, bool) or number_or_none(value) is not None
