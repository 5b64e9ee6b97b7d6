"""The fakes on a real port, where a fault can cut the connection under a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from orchestrator.sandbox.server import _ClosableConnection, _SandboxServer, open_listener


@asynccontextmanager
async def serve_on_free_port(app: ASGIApp) -> AsyncIterator[str]:
    """Serve until the block ends; gives the address, without a path."""
    listener = open_listener("127.0.0.1", 0)
    config = uvicorn.Config(
        app, http=_ClosableConnection, ws="none", lifespan="off", log_config=None, access_log=False
    )
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = _SandboxServer(config, started.set_result)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{await started}"
    finally:
        server.should_exit = True
        await serving
