"""The web door upon a real database, with an operator's and a reader's token."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import structlog
from sqlalchemy import text
from store_values import NOW, a_job, fill
from web_application import create_app

from orchestrator import control
from orchestrator.app.web_backend import AppWebBackend
from orchestrator.core.access_token import Role, hash_token
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.metrics import MetricsRecorder
from orchestrator.settings import load_settings
from orchestrator.store.db.database import Database

OPERATOR = "orch_operator-of-the-tests"
READER = "orch_reader-of-the-tests"


class ServedApp:
    """The application upon the database, and the time it is told."""

    def __init__(self, database: Database, data_dir: Path | None = None) -> None:
        self.now = NOW
        self.passing = 0.0  # seconds that pass between two looks at the clock
        self.stopping = asyncio.Event()
        silent = cast(Any, SimpleNamespace(seconds_since_tick=0.0, problem=None, wake=None))
        deaf, log = cast(Any, None), structlog.get_logger()
        clock = cast(Any, SimpleNamespace(now=self._now, boottime=self._now))
        settings = load_settings({"ORCHESTRATOR_DATA_DIR": str(data_dir)} if data_dir else {})
        self.inside = AppWebBackend(database, settings, silent, deaf, clock, log, MetricsRecorder("1"))
        self.rebuild()

    def rebuild(self) -> None:
        """Build the application from what is inside now."""
        self.app = create_app(self.inside.build(self.stopping))

    def _now(self) -> float:
        self.now += self.passing
        return self.now

    def client(self, token: str = "") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


async def serve(database: Database, data_dir: Path | None = None) -> ServedApp:
    """A job under way, one that failed, and two tokens."""
    await fill(database, [a_job("acme"), a_job("globex", state=JobState.FAILED, wake_at=None)])
    await control.create_token(database, "ops", Role.OPERATOR, hash_token(OPERATOR.encode()), by="me", now=NOW)
    await control.create_token(database, "eyes", Role.READER, hash_token(READER.encode()), by="me", now=NOW)
    return ServedApp(database, data_dir)


async def list_causes(database: Database) -> list[tuple[str, str, str | None]]:
    async with database.read() as connection:
        rows = await connection.execute(text("SELECT cause, note, message FROM events ORDER BY id"))
        return [(row.cause, row.note, row.message) for row in rows]
