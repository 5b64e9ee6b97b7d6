"""Files: the dataset on its way out. What is sent are the bytes that were planned, or nothing."""

from __future__ import annotations

import asyncio
import os
from hashlib import file_digest
from pathlib import Path

from orchestrator.core.capabilities import Capabilities, goes_in_parts
from orchestrator.core.dataset import Part, remote_name
from orchestrator.core.errors import DatasetChanged
from orchestrator.daemon.notes import JobNotes
from orchestrator.providers.base import FileToSend
from orchestrator.store import jobs, runs
from orchestrator.store.database import Database

SLOWEST_UPLOAD = 500_000  # bytes a second that an upload's deadline allows for
STRETCH = 40_000_000  # bytes of a file in parts that one attempt is given time for
SMALL = 8_000_000  # bytes that are hashed sooner than another thread has begun


class Files:
    """The datasets' files in a folder. Each is hashed once, as long as it is not touched."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._hashed: dict[str, tuple[os.stat_result, str]] = {}

    async def of_job(self, loaded: jobs.Loaded) -> list[FileToSend]:
        """What the job is trained on, and with what it is validated. Raises DatasetChanged."""
        async with self._database.read() as connection:
            dataset = await runs.load_dataset(connection, loaded.run.dataset_sha256, self._folder)
        parts = [part for part in (dataset.training, dataset.validation) if part is not None]
        for part in parts:
            await self._check(part)
        return [self._to_send(part, loaded) for part in parts]

    async def _check(self, part: Part) -> None:
        try:
            found = await self._sha256(part.path)
        except OSError as error:
            raise DatasetChanged(f"the dataset's file {part.path} cannot be read: {error.strerror}") from error
        if found != part.sha256:
            raise DatasetChanged(f"the dataset's file {part.path} has other bytes than were planned")

    async def _sha256(self, path: Path) -> str:
        stat = path.stat()  # noqa: ASYNC240 - sooner done than handed to another thread
        known, digest = self._hashed.get(path.name, (None, ""))
        if known is None or _touched(known, stat):
            digest = _digest(path) if stat.st_size < SMALL else await asyncio.to_thread(_digest, path)
            self._hashed[path.name] = stat, digest
        return digest

    def _to_send(self, part: Part, loaded: jobs.Loaded) -> FileToSend:
        return FileToSend(
            path=part.path,
            filename=remote_name(part.sha256),
            bytes=part.bytes,
            sha256=part.sha256,
            examples=part.examples,
            byte_order_mark=bool(loaded.run.specs[loaded.job.provider].byte_order_mark),
            notes=JobNotes(self._database, loaded.job.id, part.sha256),
        )


def sending_seconds(files: list[FileToSend], offers: Capabilities) -> float:
    """An upload in parts takes several attempts, so that a restart does not wait for all of a long one."""
    sizes = [STRETCH if goes_in_parts(file.wire_bytes, offers) else file.wire_bytes for file in files]
    return sum(sizes) / SLOWEST_UPLOAD


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _touched(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_mtime_ns, before.st_size, before.st_ino) != (now.st_mtime_ns, now.st_size, now.st_ino)
