"""Opens the app for a command and closes it at the end."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.app.database import has_database, import_wakeup_queue
from orchestrator.app.wiring import App
from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor
from orchestrator.settings import Settings
from orchestrator.system.private_files import create_private_folder


@asynccontextmanager
async def open_app_for_reading(settings: Settings, redact: Redactor) -> AsyncIterator[App]:
    """Open the app for a read-only command.

    Without a database it uses an empty one in a temporary folder, because reading must not create a data folder in
    the current folder.
    """
    if has_database(settings):
        async with open_app(settings, redact) as app:
            yield app
        return
    with tempfile.TemporaryDirectory(prefix="orchestrator-empty-") as folder:
        empty = {"data_dir": Path(folder), "database_url": f"sqlite:///{Path(folder) / 'orchestrator.db'}"}
        async with open_app(settings.model_copy(update=empty), redact) as app:
            app.is_empty = True
            yield app


@asynccontextmanager
async def open_app(settings: Settings, redact: Redactor) -> AsyncIterator[App]:
    """Open the app and migrate its database to the newest revision; close it at the end. Raises ConfigError."""
    try:
        create_private_folder(settings.data_dir)
    except OSError as error:
        raise ConfigError(
            f"the data folder {settings.data_dir} cannot be created ({error.strerror})",
            hint="Set ORCHESTRATOR_DATA_DIR to a folder that the service's user can create and write.",
        ) from None
    app = App(settings, redact)
    try:
        if revision := await app.database.migrate():
            app.log.info("database.migrated", revision=revision)
        if not app.database.is_sqlite:
            await import_wakeup_queue().install(app.database)
        yield app
    finally:
        await app.close()
