"""Body of `serve`: the service with its web server, until a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator import log
from orchestrator.app import exclusive_database_lock
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.foreground import install_stop_signals, run_unless_stopped
from orchestrator.cli.session import format_base_url
from orchestrator.core.errors import ConfigError
from orchestrator.settings import PREFIX, load_settings

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.daemon.service import Service


async def serve(app: App, environ: Mapping[str, str]) -> ExitCode:
    """Run the service and the web server. SIGTERM and SIGINT stop it; SIGHUP reloads settings and accounts file."""
    with exclusive_database_lock(app.settings, app.database):
        service = app.create_service(start=True, observer=app.metrics, watch_dataset=True, deploys=True)
        stopping = install_stop_signals()
        web = app.create_web_server(service, stopping)
        reloads = ReloadHandler(service, lambda: reload_settings(app, environ))
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloads.request)
        port = await web.start()  # before the service: /livez and /readyz answer during a slow start
        try:
            if await run_unless_stopped(service.start(), stopping):
                url = format_base_url(app.settings.host, port)
                app.log.info("service.ready", url=f"{url}/", status=f"{url}/status")
                reloads.start()
                await stopping.wait()
            app.log.info("service.stopping")
        finally:
            await reloads.stop()
            await service.stop()
            await web.stop()
        app.log.info("service.stopped")
    return ExitCode.DONE


class ReloadHandler:
    """Handles SIGHUP. A signal during the start is handled after it, because both read the same files."""

    def __init__(self, service: Service, read_settings: Callable[[], None]) -> None:
        self._service = service
        self._read_settings = read_settings
        self._started = False
        self._requested = False  # a signal arrived before `start`
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio keeps weak references only

    def request(self) -> None:
        """Handle the signal."""
        if not self._started:
            self._requested = True
            return
        self._read_settings()
        task = asyncio.create_task(self._service.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start(self) -> None:
        """Handle signals from now on, and the pending one if there is one."""
        self._started = True
        if self._requested:
            self.request()

    async def stop(self) -> None:
        """Cancel reloads in progress."""
        self._started = self._requested = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def reload_settings(app: App, environ: Mapping[str, str]) -> None:
    """Apply a changed log level, and log which other changed settings need a restart."""
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        app.log.warning("settings.refused", error=error)
        return
    log.set_level(settings.log_level)
    app.log.info("settings.reloaded", log_level=settings.log_level)
    before = app.settings.model_dump()
    changed = [PREFIX + name.upper() for name, value in settings if value != before[name] and name != "log_level"]
    if changed:
        app.log.warning("settings.restart_required", settings=changed)
