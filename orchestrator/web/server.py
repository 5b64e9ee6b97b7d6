"""Server: the application on a port, inside the program's own event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from orchestrator.core.errors import ConfigError

STOP_SECONDS: Final = 2  # what is under way when the server stops may take this long

_WRONG = {
    errno.EADDRINUSE: (
        "is already in use",
        "Stop the program that listens there, or set ORCHESTRATOR_PORT to another port (0 takes a free one).",
    ),
    errno.EACCES: ("is not allowed for this user", "Set ORCHESTRATOR_PORT to a port above 1023."),
}
_ELSEWHERE = (
    "is not an address of this machine",
    "Set ORCHESTRATOR_HOST to one; 127.0.0.1 serves this machine only.",
)


class WebServer:
    """Serves from `start` to `stop`. Signals stay with the program around it."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen, and say on which port. Raises ConfigError where that is not possible."""
        listener = self._listen()
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = server = _Server(config)
        self._serving = asyncio.create_task(server.serve(sockets=[listener]))
        self._serving.add_done_callback(lambda _: server.listening.set())
        await server.listening.wait()
        if self._serving.done():
            await self._serving
        port: int = listener.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Finish what is under way, but not for long; then close every connection."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = None

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        host = self._host.strip("[]")
        try:
            return socket.create_server((host, self._port), family=family)
        except OSError as error:
            wrong, hint = _WRONG.get(error.errno or 0, _ELSEWHERE)
            raise ConfigError(f"{self._host} port {self._port} {wrong}", hint=hint) from None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
