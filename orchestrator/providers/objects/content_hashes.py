"""The checksums of the file that is sent, computed once for all accounts of a provider."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO, Final

from orchestrator.aio import SingleFlight
from orchestrator.providers.base import DatasetFile
from orchestrator.providers.upload_stream import CHUNK_BYTES, compute_md5, open_part_stream

MAX_CACHED_FILES: Final = 16  # a service sends the two files of few datasets at the same time


class ContentHashes:
    """Computes checksums in a thread. The key of a result is the file's own SHA-256, so it is never outdated."""

    def __init__(self) -> None:
        self._running = SingleFlight[tuple[str, int], tuple[bytes, ...]]()
        self._known: dict[tuple[str, int], tuple[bytes, ...]] = {}

    async def get_md5(self, dataset_file: DatasetFile) -> str:
        """Return the MD5 in base64, as Google Cloud Storage reports it."""
        (digest,) = await self._get((dataset_file.sha256, 0), dataset_file)
        return base64.b64encode(digest).decode()

    async def get_part_sha256s(self, dataset_file: DatasetFile, part_bytes: int) -> tuple[bytes, ...]:
        """Return the SHA-256 of each part."""
        return await self._get((dataset_file.sha256, part_bytes), dataset_file)

    async def _get(self, key: tuple[str, int], dataset_file: DatasetFile) -> tuple[bytes, ...]:
        if (known := self._known.get(key)) is None:
            compute = _compute_md5 if key[1] == 0 else _compute_part_sha256s
            known = await self._running.run(key, lambda: asyncio.to_thread(compute, dataset_file, key[1]))
            while len(self._known) >= MAX_CACHED_FILES:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = known
        return known


def format_composite_sha256(part_sha256s: tuple[bytes, ...]) -> str:
    """Return the checksum of an object that was uploaded in parts, as S3 reports it."""
    whole = sha256(b"".join(part_sha256s)).digest()
    return f"{base64.b64encode(whole).decode()}-{len(part_sha256s)}"


def _compute_md5(dataset_file: DatasetFile, _: int) -> tuple[bytes, ...]:
    return (bytes.fromhex(compute_md5(dataset_file)),)


def _compute_part_sha256s(dataset_file: DatasetFile, part_bytes: int) -> tuple[bytes, ...]:
    return tuple(_iter_part_sha256s(dataset_file, part_bytes))


def _iter_part_sha256s(dataset_file: DatasetFile, part_bytes: int) -> Iterator[bytes]:
    for start in range(0, dataset_file.wire_bytes, part_bytes):
        with open_part_stream(dataset_file, start, part_bytes) as part:
            yield _compute_sha256(part)


def _compute_sha256(stream: BinaryIO) -> bytes:
    digest = sha256()
    while data := stream.read(CHUNK_BYTES):
        digest.update(data)
    return digest.digest()
