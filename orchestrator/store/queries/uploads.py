"""Queries about multipart uploads in progress, so that a restart continues them."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from orchestrator.core.jobs.job import JobId
from orchestrator.core.remote import MultipartUpload
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import uploads


async def find(connection: StoreConnection, job_id: JobId, sha256: str) -> MultipartUpload | None:
    """Return the upload of this file for this job, or None when none is in progress."""
    query = select(uploads).where(uploads.c.job_id == job_id, uploads.c.sha256 == sha256)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    parts = {int(number): part for number, part in row.parts.items()}
    return MultipartUpload(id=row.remote_id, part_bytes=row.part_bytes, parts=parts)


async def save(tx: Transaction, job_id: JobId, sha256: str, upload: MultipartUpload | None) -> None:
    """Store the upload in place of the previous one; None deletes that."""
    await tx.connection.execute(delete(uploads).where(uploads.c.job_id == job_id, uploads.c.sha256 == sha256))
    if upload is not None:
        parts = {str(number): part for number, part in upload.parts.items()}
        row = {"remote_id": upload.id, "part_bytes": upload.part_bytes, "parts": parts}
        await tx.connection.execute(insert(uploads).values(job_id=job_id, sha256=sha256, **row))


async def delete_upload(tx: Transaction, remote_id: str) -> None:
    """Delete an upload that the provider no longer has."""
    await tx.connection.execute(delete(uploads).where(uploads.c.remote_id == remote_id))
