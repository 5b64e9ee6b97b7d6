"""Records in the history what a cleanup deleted, and who requested it."""

from __future__ import annotations

from orchestrator.core.jobs.unused_resource import ResourceKind, UnusedResource
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import uploads


async def record_deletion(database: Database, resource: UnusedResource, *, by: str, now: float) -> None:
    """Add the deletion to the history. The row of a deleted upload is deleted with it."""
    async with database.transaction() as tx:
        if resource.kind is ResourceKind.UPLOAD:
            await uploads.delete_upload(tx, resource.id)
        name = f" ({resource.name})" if resource.account else ""
        what = f"{resource.kind} {resource.id}{name}"
        tx.add_events(EventData(at=now, cause=by, note="deleted", account=resource.account, message=what))
