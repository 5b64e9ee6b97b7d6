"""What is remembered of uploads in parts survives, a job and a file apart."""

from __future__ import annotations

from store_values import a_job, fill, id_of

from orchestrator.core.remote import MultipartUpload
from orchestrator.daemon.dataset_files import DatabaseUploadStateStore
from orchestrator.store.db.database import Database

UPLOAD = MultipartUpload(id="upload_1", part_bytes=16, parts={0: "part_a", 11: "part_b"})


async def test_upload_notes_are_saved_updated_and_deleted(database: Database) -> None:
    await fill(database, [a_job("a"), a_job("b")])
    notes = DatabaseUploadStateStore(database, id_of("a"), "f" * 64)
    assert await notes.load() is None
    await notes.save(MultipartUpload(id="upload_0", part_bytes=16))
    await notes.save(UPLOAD)
    assert await DatabaseUploadStateStore(database, id_of("a"), "f" * 64).load() == UPLOAD
    assert await DatabaseUploadStateStore(database, id_of("a"), "e" * 64).load() is None
    assert await DatabaseUploadStateStore(database, id_of("b"), "f" * 64).load() is None
    await notes.save(None)
    assert await notes.load() is None
