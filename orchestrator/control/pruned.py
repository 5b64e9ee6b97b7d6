"""Pruned: what was deleted, and who asked for it."""

from __future__ import annotations

from orchestrator.core.leftover import ResourceKind, UnusedResource
from orchestrator.store import events, uploads
from orchestrator.store.connection import StoreConnection
from orchestrator.store.database import Database


async def record_deletion(database: Database, resource: UnusedResource, *, by: str, now: float) -> None:
    """Write it into the history; an upload is forgotten, too."""

    async def change(connection: StoreConnection) -> None:
        if resource.kind is ResourceKind.UPLOAD:
            await uploads.delete_upload(connection, resource.id)
        name = f" ({resource.name})" if resource.account else ""
        what = f"{resource.kind} {resource.id}{name}"
        entry = events.EventData(at=now, cause=by, note="deleted", account=resource.account, message=what)
        await events.append(connection, entry)

    await database.write(change)
