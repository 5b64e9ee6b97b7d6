"""The deadline of a call that creates something: nothing is sent after it.

The deadline travels in a context variable and not as an argument, because between the dialect that sets it and the
socket that checks it stands an SDK with a signature of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx2

from orchestrator.providers.base import Deadline

# asyncio copies the context into each task: the task in which aiohttp writes a body sees the deadline of its request.
_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class DeadlinePassed(httpx2.ConnectError):
    """The deadline passed before the request was sent: nothing was sent.

    It is an error of httpx2 because SDKs wrap those and let other exceptions escape as they are. It is a ConnectError
    because that is how callers recognise that a request has had no effect.
    """

    def __init__(self) -> None:
        super().__init__("nothing was sent: the time for sending this request had passed")


@contextmanager
def send_deadline(deadline: Deadline) -> Iterator[None]:
    """Apply the deadline to every request that is made inside the `with` block."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def is_write_call() -> bool:
    """Return whether the current call costs or creates something: those are the calls with a deadline."""
    return _deadline.get() is not None


def check_deadline() -> None:
    """Raise DeadlinePassed when the current request may no longer be sent."""
    deadline = _deadline.get()
    if deadline is not None and deadline.seconds_left <= 0:
        raise DeadlinePassed
