"""Files: the dataset on its way out. What is sent are the bytes that were planned, or nothing."""

from __future__ import annotations

from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple, Self

from orchestrator.core.capabilities import Capabilities, goes_in_parts
from orchestrator.core.dataset import Dataset, Part, remote_name
from orchestrator.core.errors import DatasetChanged
from orchestrator.daemon.notes import JobNotes
from orchestrator.providers.base import FileToSend
from orchestrator.providers.hashes import Hashes
from orchestrator.store import jobs, runs
from orchestrator.store.database import Database

SLOWEST_UPLOAD = 500_000  # bytes a second that an upload's deadline allows for
STRETCH = 40_000_000  # bytes of a file in parts that one attempt is given time for
SMALL = 8_000_000  # bytes that are hashed sooner than another thread has begun


class _Untouched(NamedTuple):
    """A file as it was at one time: once it is touched it is another."""

    path: Path
    changed_ns: int
    size: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> Self:
        stat = path.stat()
        return cls(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


class Files:
    """The datasets' files in a folder. Each is hashed once for all jobs, as long as it is not touched."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._hashes = Hashes(_sha256)
        self._known: dict[str, Dataset] = {}  # by hash, so none of them ever changes

    async def of_job(self, loaded: jobs.Loaded) -> list[FileToSend]:
        """What the job is trained on, and with what it is validated. Raises DatasetChanged."""
        dataset = await self._dataset(loaded.run.dataset_sha256)
        parts = [part for part in (dataset.training, dataset.validation) if part is not None]
        for part in parts:
            await self._check(part)
        return [self._to_send(part, loaded) for part in parts]

    async def _dataset(self, sha256: str) -> Dataset:
        if (known := self._known.get(sha256)) is None:
            async with self._database.read() as connection:
                known = self._known[sha256] = await runs.load_dataset(connection, sha256, self._folder)
        return known

    async def _check(self, part: Part) -> None:
        try:
            file = _Untouched.at(part.path)
            found = _sha256(file) if file.size < SMALL else await self._hashes.of(file)
        except OSError as error:
            raise DatasetChanged(f"the dataset's file {part.path} cannot be read: {error.strerror}") from error
        if found != part.sha256:
            raise DatasetChanged(f"the dataset's file {part.path} has other bytes than were planned")

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


@lru_cache(maxsize=16)
def _sha256(file: _Untouched) -> str:
    with file.path.open("rb") as handle:
        return file_digest(handle, "sha256").hexdigest()
