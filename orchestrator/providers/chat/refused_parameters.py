"""Asks a model again without an optional parameter that it refuses.

A refused question costs nothing and has no effect, so it may be sent again. Errors of servers name the parameter in
different ways or not at all, so each one is left out alone first, and then one more after the other, in the order of
`OptionalParameter`: the first ones matter least. This is done with the first question to a model only. What was left
out is part of the reply: the other questions are sent without it, and the report names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from orchestrator.core.errors import RemoteNotFound, RequestRejected
from orchestrator.core.inference import ChatReply, OptionalParameter

ASK_TIMEOUT_SECONDS: Final = 120.0  # of one question; a model that was asleep may take a minute

AskOnce = Callable[[frozenset[OptionalParameter]], Awaitable[ChatReply]]
"""Sends the question once without these parameters. Raises RequestRejected, among others."""


async def ask_without_refused(ask_once: AskOnce, sent: Sequence[OptionalParameter]) -> ChatReply:
    """Ask until the model accepts the parameters. `sent` are those that the question has, in their order.

    Raises RequestRejected if the model accepts none of the sets. It is the first one: that question had everything.
    """
    first: RequestRejected | None = None
    for left_out in _iter_left_out(sent):
        try:
            return await ask_once(left_out)
        except RemoteNotFound:
            raise
        except RequestRejected as error:
            first = first or error
    assert first is not None
    raise first


def _iter_left_out(sent: Sequence[OptionalParameter]) -> Iterator[frozenset[OptionalParameter]]:
    yield frozenset()
    yield from (frozenset({each}) for each in sent)
    yield from (frozenset(sent[:count]) for count in range(2, len(sent) + 1))
