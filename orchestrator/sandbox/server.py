"""Serves the sandbox on a port of a loopback address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.sandbox.app import create_app
from orchestrator.sandbox.loopback import NotLoopback, is_loopback
from orchestrator.sandbox.response import CLOSE_CONNECTION_KEY, Scope
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.webhook_sender import validate_webhook_url

STOP_GRACE_SECONDS = 2  # for requests in progress


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    settings: SandboxSettings | None = None,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until cancelled, then finish requests in progress. `on_ready` is called with the port; 0 picks a free
    one.

    Raises NotLoopback for an address or a webhook URL of another machine, OSError if the port is in use, and
    StateFileError if the state file cannot be used.
    """
    settings = settings or SandboxSettings()
    if not settings.allow_remote and not is_loopback(host):
        message = f"the sandbox listens on this machine only, and {host} is not a loopback address"
        raise NotLoopback(f"{message}: use --host 127.0.0.1 or --host ::1")
    if settings.webhooks:
        validate_webhook_url(settings.webhooks, allow_remote=settings.allow_remote)
    listener = open_listener(host, port)
    try:
        app = create_app(settings)
    except BaseException:
        listener.close()
        raise
    config = uvicorn.Config(
        app,
        http=_ClosableConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_GRACE_SECONDS,
    )
    server = _SandboxServer(config, on_ready or (lambda _: None))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


def open_listener(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 picks a free one. Raises OSError if the address cannot be used."""
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Inherited by each connection, as in the program's own web server: without it, the body of an answer waits until
    # the client has acknowledged its head, 40 ms on a kept connection.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _SandboxServer(uvicorn.Server):
    """Reports its port once it listens, and leaves signals to the surrounding program."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            self._on_ready(listener.getsockname()[1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _ClosableConnection(H11Protocol):
    """Lets each request close its own connection, for the faults drop, lose_answer and truncate."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._lost = asyncio.Event()
        app: Any = self.app

        async def cut() -> None:
            transport.close()
            await self._lost.wait()

        async def cuttable(scope: Scope, receive: Any, send: Any) -> None:
            scope[CLOSE_CONNECTION_KEY] = cut
            await app(scope, receive, send)

        self.app = cuttable

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost.set()
