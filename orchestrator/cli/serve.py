"""Serve: the service in the foreground of its process, until a signal."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from orchestrator.app import sole_owner
from orchestrator.cli.follow import begun, stop_signals
from orchestrator.cli.session import DONE

if TYPE_CHECKING:
    from orchestrator.app import App


async def serve(app: App) -> int:
    """Converge, follow, answer. SIGTERM and SIGINT stop it, SIGHUP reads the accounts file again."""
    with sole_owner(app.settings):
        service = app.service(start=True)
        web = app.web(service)
        stopping = stop_signals()
        reloads: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGHUP, lambda: reloads.add(asyncio.create_task(service.reload()))
        )
        port = await web.start()
        try:
            if await begun(service, stopping):
                app.log.info(
                    "service.ready",
                    url=f"http://{app.settings.host}:{port}/",
                    status=f"http://{app.settings.host}:{port}/status",
                )
                await stopping.wait()
            app.log.info("service.stopping")
        finally:
            await service.stop()
            await web.stop()
        app.log.info("service.stopped")
    return DONE
