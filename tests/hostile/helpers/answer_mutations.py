"""Mutations of a provider's answer, drawn by Hypothesis: its body, its status and its headers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
from hypothesis import strategies as st

ODD: list[Any] = [
    "abc", "", 7, -1, 0, 1.5, 1e308, 10**400, 2**63, -(2**63) - 1, True, False, None, [], [7], [None], [[]], {}, [{}],
    {"a": {"b": [{}]}}, "x" * 100_000, "\0", "a\nb", "\x1b[2J", "\u202e", "../../x", "a/b?c=d#e", "%2e%2e", "x" * 257,
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-13-45", "9" * 5_000, "1e999", "nan", "NaN", "-inf", "٣",
    "https://u:p@[::1", "//", "error", ["a"] * 1_000, {"x" * 300: "y"},
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.sampled_from(ODD) | st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
RAW = [
    b"", b"\n", b"null", b"[]", b"{}", b"0", b'""', b"<html>Maintenance</html>", b"\xff\xfe{}", b"\xef\xbb\xbf{}",
    b"NaN", b'{"id": NaN}', b"[" * 100_000, b"{" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"\0" * 100,
    b'{"data": []}', b'{"data": null}', b'{"object": "list"}', b'{"error": null}', b'{"error": "busy"}',
    b'data: {"id": 1}\n\n', b"9" * 10_000,
]  # fmt: skip
STATUSES = [
    101, 200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405,
    406, 407, 408, 409, 410, 411, 412, 413, 415, 418, 422, 423, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505,
    507, 520, 522, 529, 599, 999,
]  # fmt: skip
HEADER_NAMES = [
    "retry-after", "date", "location", "x-request-id", "etag", "content-type", "range", "x-amzn-errortype",
    "x-together-file-id", "openai-organization", "x-amz-checksum-sha256", "x-amz-bucket-region", "content-range",
    "content-length", "link", "x-ratelimit-reset", "azure-asyncoperation",
]  # fmt: skip
HEADER_VALUES = [
    "", "0", "-1", "1e300", "nan", "inf", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
    "tomorrow", "http://169.254.169.254/latest", "//evil.example/x", "/", "file:///etc/passwd", "http://[::1",
    "x" * 8_000,
    "\x1b[2J", "ü", "text/html", "text/event-stream", "bytes=0-99999999999999999999", "a:b:c", "\x7f", "%00",
]  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """What becomes of one answer of a call."""

    index: int  # of the answer, from 0; modulo their number
    name: str
    change: Callable[[httpx2.Response], httpx2.Response]

    def __repr__(self) -> str:
        return f"answer {self.index}: {self.name}"


def _rebuild(
    answer: httpx2.Response, content: bytes | None = None, status: int | None = None, **headers: str | None
) -> httpx2.Response:
    kept = not answer.content  # of the answer to a HEAD
    changed = {name: value for name, value in answer.headers.items() if kept or name != "content-length"}
    for name, value in headers.items():
        changed.pop(name, None)
        if value is not None:
            changed[name] = value
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in changed.items()]
    return httpx2.Response(
        answer.status_code if status is None else status,
        headers=raw,
        content=answer.content if content is None else content,
        request=httpx2.Request("GET", "http://localhost/v1"),
    )


def _parse(answer: httpx2.Response) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError:
        return {}


def list_paths(body: Any, path: list[Any]) -> Iterator[list[Any]]:
    """Yield the path of every value in a body, from its root to its leaves."""
    yield path
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, inner in parts:
        yield from list_paths(inner, [*path, key])


def _choose_path(body: Any, place: float) -> list[Any]:
    paths = list(list_paths(body, []))
    return paths[min(int(place * len(paths)), len(paths) - 1)]


def put_value(body: Any, path: list[Any], value: Any) -> Any:
    """Return a copy with another value at the path."""
    if not path:
        return value
    copy = body.copy()
    copy[path[0]] = put_value(body[path[0]], path[1:], value)
    return copy


def _delete_value(body: Any, path: list[Any]) -> Any:
    if not path:
        return {}
    copy = body.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _delete_value(body[path[0]], path[1:])
    return copy


def _put(place: float, value: Any) -> Callable[[httpx2.Response], httpx2.Response]:
    def change(answer: httpx2.Response) -> httpx2.Response:
        body = _parse(answer)
        return _rebuild(answer, json.dumps(put_value(body, _choose_path(body, place), value)).encode())

    return change


def _delete(place: float) -> Callable[[httpx2.Response], httpx2.Response]:
    def change(answer: httpx2.Response) -> httpx2.Response:
        body = _parse(answer)
        return _rebuild(answer, json.dumps(_delete_value(body, _choose_path(body, place))).encode())

    return change


def _cut(part: float) -> Callable[[httpx2.Response], httpx2.Response]:
    return lambda answer: _rebuild(answer, answer.content[: int(part * len(answer.content))])


def _refuse(status: int, code: Any, message: Any) -> Callable[[httpx2.Response], httpx2.Response]:
    error = {"code": code, "message": message}
    return lambda answer: _rebuild(answer, json.dumps({"error": error, **error}).encode(), status)


PLACES = st.floats(0, 1)
LATIN = st.characters(min_codepoint=32, max_codepoint=255)
CHANGES = st.one_of(
    st.builds(lambda place, value: (f"{value!r:.200} at {place}", _put(place, value)), PLACES, VALUES),
    st.builds(lambda place: (f"nothing at {place}", _delete(place)), PLACES),
    st.builds(lambda part: (f"cut at {part}", _cut(part)), PLACES),
    st.builds(
        lambda raw: (f"{raw[:100]!r}", lambda answer: _rebuild(answer, raw)),
        st.sampled_from(RAW) | st.binary(max_size=30),
    ),
    st.builds(
        lambda status: (f"status {status}", lambda answer: _rebuild(answer, status=status)), st.sampled_from(STATUSES)
    ),
    st.builds(
        lambda status, code, message: (
            f"status {status}, code {code!r:.100}, message {message!r:.100}",
            _refuse(status, code, message),
        ),
        st.sampled_from(STATUSES),
        VALUES,
        VALUES,
    ),
    st.builds(
        lambda name, value, status: (
            f"header {name}: {value!r:.100}, status {status}",
            lambda answer: _rebuild(answer, status=status, **{name: value}),
        ),
        st.sampled_from(HEADER_NAMES),
        st.none()
        | st.sampled_from(HEADER_VALUES)
        | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
        st.none() | st.sampled_from(STATUSES),
    ),
)
MUTATIONS = st.builds(lambda index, change: Mutation(index, *change), st.integers(0, 4), CHANGES)
