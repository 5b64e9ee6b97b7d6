"""Pruned: what was deleted, and who asked for it."""

from __future__ import annotations

from orchestrator.core.leftover import Kind, Leftover
from orchestrator.store import events, uploads
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database


async def record(database: Database, leftover: Leftover, *, by: str, now: float) -> None:
    """Write it into the history; an upload is forgotten, too."""

    async def change(connection: AsyncConnection) -> None:
        if leftover.kind is Kind.UPLOAD:
            await uploads.forget(connection, leftover.id)
        name = f" ({leftover.name})" if leftover.account else ""
        what = f"{leftover.kind} {leftover.id}{name}"
        entry = events.Entry(at=now, cause=by, note="deleted", account=leftover.account, message=what)
        await events.append(connection, entry)

    await database.write(change)
