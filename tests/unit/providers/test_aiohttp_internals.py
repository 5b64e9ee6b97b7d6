"""The internals of aiohttp that `aiohttp_transport` overrides still have the shape that it relies on.

The deadline of a paid request is checked inside of them: a new version of aiohttp that renames one would send
requests without the check.
"""

from __future__ import annotations

import inspect

import aiohttp

from orchestrator.providers.http.aiohttp_transport import _create_session, _DeadlineRequest
from orchestrator.providers.http.network import NetworkConfig


def test_overridden_methods_of_the_request_have_the_same_parameters() -> None:
    for name in ("send", "write_bytes"):
        theirs, ours = getattr(aiohttp.ClientRequest, name), getattr(_DeadlineRequest, name)
        assert list(inspect.signature(theirs).parameters) == list(inspect.signature(ours).parameters), name
        assert inspect.iscoroutinefunction(theirs), name


def test_request_is_sent_by_the_overridden_methods() -> None:
    assert "self.write_bytes(" in inspect.getsource(aiohttp.ClientRequest.send)
    assert "req.send(conn)" in inspect.getsource(aiohttp.ClientSession)


async def test_session_does_not_repeat_requests_by_itself() -> None:
    async with aiohttp.ClientSession() as usual, _create_session(1, NetworkConfig().ssl_context) as session:
        assert usual._retry_connection is True
        assert session._retry_connection is False
    assert "self._retry_connection and" in inspect.getsource(aiohttp.ClientSession)
