"""Serve: the service in the foreground of its process, until a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator import log
from orchestrator.app import sole_owner
from orchestrator.cli.follow import begun, stop_signals
from orchestrator.cli.session import DONE
from orchestrator.core.errors import ConfigError
from orchestrator.settings import PREFIX, load_settings

if TYPE_CHECKING:
    from orchestrator.app import App


async def serve(app: App, environ: Mapping[str, str]) -> int:
    """Converge, follow, answer. SIGTERM and SIGINT stop it, SIGHUP reads settings and accounts file again."""
    with sole_owner(app.settings, app.database):
        service = app.service(start=True, watch=app.metrics)
        stopping = stop_signals()
        web = app.web(service, stopping)
        reloads: set[asyncio.Task[None]] = set()

        def reload() -> None:
            reread(app, environ)
            reloads.add(asyncio.create_task(service.reload()))

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
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


def reread(app: App, environ: Mapping[str, str]) -> None:
    """Put the log level of the settings as they are now in force; say what else has changed."""
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        app.log.warning("settings.refused", error=error)
        return
    log.set_level(settings.log_level)
    app.log.info("settings.read", log_level=settings.log_level)
    before = app.settings.model_dump()
    changed = [PREFIX + name.upper() for name, value in settings if value != before[name] and name != "log_level"]
    if changed:
        app.log.warning("settings.wait_for_restart", settings=changed)
