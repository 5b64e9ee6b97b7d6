"""Provides the dataset's files for an upload, after it has verified that they have the bytes that were planned."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple, Self

from structlog.stdlib import BoundLogger

from orchestrator.aio import SingleFlight
from orchestrator.core.capabilities import Capabilities, WireFormat, needs_multipart
from orchestrator.core.dataset import Dataset, DatasetPart, remote_filename
from orchestrator.core.errors import DatasetChanged
from orchestrator.core.jobs.job import JobId
from orchestrator.core.remote import MultipartUpload
from orchestrator.dataset.convert.converted_file import ConvertedFile, get_converted_file
from orchestrator.providers.base import DatasetFile
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, runs, uploads

MIN_UPLOAD_BYTES_PER_SECOND = 500_000  # a connection of 4 Mbit/s: slower uploads exceed their deadline
MULTIPART_ATTEMPT_BYTES = 40_000_000  # one attempt at a multipart upload has time for so many bytes
MAX_INLINE_HASH_BYTES = 8_000_000  # hashing so little takes less time than to start it in another thread


class _FileVersion(NamedTuple):
    """The identity of a file's content without reading it: any write changes one of these fields."""

    path: Path
    modified_ns: int  # in nanoseconds since the epoch
    size: int  # in bytes
    inode: int  # differs when the file was replaced by another one with the same time

    @classmethod
    def from_path(cls, path: Path) -> Self:
        stat = path.stat()
        return cls(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


class DatasetFiles:
    """The dataset files in a folder. Each version of a file is hashed, and converted, once for all jobs."""

    def __init__(self, database: Database, folder: Path, log: BoundLogger) -> None:
        self._database = database
        self._folder = folder
        self._log = log
        self._conversions = SingleFlight[tuple[str, WireFormat], ConvertedFile]()
        self._converted: dict[tuple[str, WireFormat], ConvertedFile] = {}  # verified again before each use
        self._hashes = SingleFlight[_FileVersion, str]()  # results are kept by the cache of `_sha256`
        self._datasets_by_hash: dict[str, Dataset] = {}  # never stale: the hash determines the dataset

    async def get_verified_files(self, loaded: jobs.LoadedJob, capabilities: Capabilities) -> list[DatasetFile]:
        """Return the training file and, if there is one, the validation file of the job.

        `capabilities` are those of the job's account: an option of the account may change how its jobs are found.
        Raises DatasetChanged when a file is missing or its bytes differ from the plan.
        """
        dataset = await self._load_dataset(loaded.run.dataset_sha256)
        parts = [part for part in (dataset.training, dataset.validation) if part is not None]
        for part in parts:
            await self._verify(part)
        wire_format = capabilities.wire_format
        if wire_format is WireFormat.CHAT_LINES:
            return [self._build_dataset_file(part, loaded, capabilities) for part in parts]
        return [
            self._build_dataset_file(part, loaded, capabilities, await self._get_converted(part, wire_format))
            for part in parts
        ]

    async def _load_dataset(self, sha256: str) -> Dataset:
        if (dataset := self._datasets_by_hash.get(sha256)) is None:
            async with self._database.read() as connection:
                dataset = await runs.get_dataset(connection, sha256, self._folder)
            self._datasets_by_hash[sha256] = dataset
        return dataset

    async def _verify(self, part: DatasetPart) -> None:
        try:
            sha256 = await self._compute_sha256(part.path)
        except OSError as error:
            raise DatasetChanged(f"the dataset's file {part.path} cannot be read: {error.strerror}") from error
        if sha256 != part.sha256:
            raise DatasetChanged(f"the dataset's file {part.path} was changed after the run was planned")

    async def _compute_sha256(self, path: Path) -> str:
        file = _FileVersion.from_path(path)
        if file.size < MAX_INLINE_HASH_BYTES:
            return _sha256(file)
        return await self._hashes.run(file, lambda: asyncio.to_thread(_sha256, file))

    async def _get_converted(self, part: DatasetPart, wire_format: WireFormat) -> ConvertedFile:
        """Return the part's file in the wire format, converted again if the file is missing or was changed."""
        key = part.sha256, wire_format
        known = self._converted.get(key)
        try:
            if known is not None and known.path.is_file() and await self._compute_sha256(known.path) == known.sha256:
                return known
            return await self._conversions.run(key, lambda: self._convert(part, wire_format))
        except OSError as error:
            message = f"the dataset's file {part.path} cannot be converted to {wire_format}: {error.strerror}"
            raise DatasetChanged(
                message, hint="Free disk space, or correct the permissions of the folder."
            ) from error

    async def _convert(self, part: DatasetPart, wire_format: WireFormat) -> ConvertedFile:
        file = await asyncio.to_thread(get_converted_file, part, wire_format)
        self._converted[part.sha256, wire_format] = file
        self._log.info(
            "dataset.converted",
            dataset_file=part.path.name,
            format=wire_format,
            converted_file=file.path.name,
            sha256=file.sha256,
            bytes=file.bytes,
        )
        return file

    def _build_dataset_file(
        self,
        part: DatasetPart,
        loaded: jobs.LoadedJob,
        capabilities: Capabilities,
        converted: ConvertedFile | None = None,
    ) -> DatasetFile:
        job = loaded.job
        sent = converted or part
        return DatasetFile(
            path=sent.path,
            filename=remote_filename(
                part.sha256,
                converted_sha256=converted.sha256 if converted else None,
                tag=job.tag if capabilities.has_file_per_job else None,
            ),
            bytes=sent.bytes,
            sha256=sent.sha256,
            examples=part.examples,
            wire_format=capabilities.wire_format,
            byte_order_mark=bool(loaded.run.specs[job.provider].byte_order_mark),
            upload_state=DatabaseUploadStateStore(self._database, job.id, part.sha256),
        )


def upload_timeout_seconds(files: list[DatasetFile], capabilities: Capabilities) -> float:
    """Return the time limit of one attempt to upload these files.

    A multipart upload takes several attempts, so that after a crash the next process does not wait for all of it.
    """
    sizes = [
        MULTIPART_ATTEMPT_BYTES if needs_multipart(file.wire_bytes, capabilities) else file.wire_bytes
        for file in files
    ]
    return sum(sizes) / MIN_UPLOAD_BYTES_PER_SECOND


@lru_cache(maxsize=16)
def _sha256(file: _FileVersion) -> str:
    with file.path.open("rb") as handle:
        return file_digest(handle, "sha256").hexdigest()


class DatabaseUploadStateStore:
    """Stores how far the multipart upload of one file of one job is, so that a restart continues it."""

    def __init__(self, database: Database, job_id: JobId, sha256: str) -> None:
        self._database = database
        self._job_id = job_id
        self._sha256 = sha256

    async def load(self) -> MultipartUpload | None:
        async with self._database.read() as connection:
            return await uploads.find(connection, self._job_id, self._sha256)

    async def save(self, upload: MultipartUpload | None) -> None:
        await self._database.write(lambda tx: uploads.save(tx, self._job_id, self._sha256, upload))
