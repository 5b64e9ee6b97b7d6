"""Notes: what a provider's dialect asks to be remembered of an upload in parts, kept in the store."""

from __future__ import annotations

from orchestrator.core.job import JobId
from orchestrator.core.remote import MultipartUpload
from orchestrator.store import uploads
from orchestrator.store.database import Database


class DatabaseUploadStateStore:
    """The notes on one file of one job."""

    def __init__(self, database: Database, job_id: JobId, sha256: str) -> None:
        self._database = database
        self._job_id = job_id
        self._sha256 = sha256

    async def load(self) -> MultipartUpload | None:
        async with self._database.read() as connection:
            return await uploads.find(connection, self._job_id, self._sha256)

    async def save(self, upload: MultipartUpload | None) -> None:
        await self._database.write(lambda c: uploads.save(c, self._job_id, self._sha256, upload))
