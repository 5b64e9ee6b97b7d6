"""Runs the web application with uvicorn inside the program's own event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from orchestrator.core.errors import ConfigError
from orchestrator.web.acceptor import Acceptor
from orchestrator.web.limited_protocol import ConnectionLimits, LimitedProtocol
from orchestrator.web.rate_limited_reporter import RateLimitedReporter

GRACEFUL_STOP_SECONDS: Final = 2  # time for open requests to finish when the server stops

_BIND_ERRORS = {
    errno.EADDRINUSE: (
        "is already in use",
        "Stop the program that listens on it, or set ORCHESTRATOR_PORT to another port (0 picks a free port).",
    ),
    errno.EACCES: ("is not allowed for this user", "Set ORCHESTRATOR_PORT to a port above 1023."),
}
_NOT_LOCAL_ADDRESS = (
    "is not an address of this machine",
    "Set ORCHESTRATOR_HOST to an address of this machine; 127.0.0.1 serves only local clients.",
)


class WebServer:
    """Serves the application from `start` to `stop`. Signal handling stays with the program."""

    def __init__(self, app: ASGIApp, host: str, port: int, limits: ConnectionLimits | None = None) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._limits = limits or ConnectionLimits()
        self._server: _UvicornServer | None = None
        self._serve_task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Start to listen and return the port. Raises ConfigError if the address cannot be bound."""
        listener = self._listen()
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=self._limits.idle_seconds,
            timeout_graceful_shutdown=GRACEFUL_STOP_SECONDS,
        )
        self._server = server = _UvicornServer(config, self._limits)
        self._serve_task = asyncio.create_task(server.serve(sockets=[listener]))
        self._serve_task.add_done_callback(lambda _: server.listening.set())
        await server.listening.wait()
        if self._serve_task.done():
            await self._serve_task
        port: int = listener.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Wait up to GRACEFUL_STOP_SECONDS for open requests, then close every connection."""
        if self._server is None or self._serve_task is None:
            return
        self._server.should_exit = True
        await self._serve_task
        self._server = self._serve_task = None

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        host = self._host.strip("[]")
        try:
            listener = socket.create_server((host, self._port), family=family)
        except OSError as error:
            reason, hint = _BIND_ERRORS.get(error.errno or 0, _NOT_LOCAL_ADDRESS)
            raise ConfigError(f"{self._host} port {self._port} {reason}", hint=hint) from None
        # Inherited by each connection. asyncio sets it only on sockets of its own; without it, the body of an answer
        # waits until the client has acknowledged its head: 40 ms on a kept connection.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener


class _UvicornServer(uvicorn.Server):
    """uvicorn's server with a limit on connections and limits on slow clients."""

    def __init__(self, config: uvicorn.Config, limits: ConnectionLimits) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._limits = limits
        self._acceptor: Acceptor | None = None
        self._reporter = RateLimitedReporter(_log_refused_connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on the socket. uvicorn's own method would use asyncio's server, which has no limit."""
        (listener,) = sockets or []
        connections = cast("set[LimitedProtocol]", self.server_state.connections)
        self._acceptor = Acceptor(listener, self._limits, connections, self._create_protocol, self._reporter)
        self._acceptor.start()
        self.servers = [cast(Any, self._acceptor)]  # uvicorn closes it and waits for it
        self.started = True
        self.listening.set()

    def _create_protocol(self) -> LimitedProtocol:
        return LimitedProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            limits=self._limits,
        )

    async def on_tick(self, counter: int) -> bool:
        """Close slow connections about once a second; uvicorn calls this ten times a second."""
        if counter % 10 == 0 and self._acceptor is not None:
            self._acceptor.close_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):  # clients that do not read the rest of their response
            connection.transport.abort()
        self._reporter.flush()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _log_refused_connections(counts: Mapping[str, int]) -> None:
    structlog.get_logger("orchestrator").warning(
        "connections.refused",
        **counts,
        hint="If these are your own clients, raise ORCHESTRATOR_MAX_CONNECTIONS or the limit of open files; "
        "otherwise block them with a proxy or a firewall.",
    )
