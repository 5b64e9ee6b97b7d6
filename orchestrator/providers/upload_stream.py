"""Opens the dataset for an upload: the canonical bytes, after a byte-order mark where the provider needs one."""

from __future__ import annotations

import hashlib
import io
import os
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from orchestrator.core.capabilities import Capabilities
from orchestrator.core.errors import RequestRejected, TemporaryError
from orchestrator.providers.base import DatasetFile

CHUNK_BYTES = 256 * 1024


@contextmanager
def open_upload_stream(dataset_file: DatasetFile) -> Iterator[BinaryIO]:
    """Open a handle for one upload. Uploads must not share one: encoders seek, and would read each other's position.

    Raises TemporaryError if the file is missing: it can be built again.
    """
    try:
        plain = dataset_file.path.open("rb")
    except OSError as error:
        raise TemporaryError(
            f"the dataset file {dataset_file.path} cannot be read: {error.strerror}",
            hint="Restart the service or send it SIGHUP to rebuild the file from the chats.",
        ) from None
    with plain:
        yield cast("BinaryIO", _BomReader(plain)) if dataset_file.byte_order_mark else plain


@contextmanager
def open_part_stream(dataset_file: DatasetFile, start: int, length: int) -> Iterator[BinaryIO]:
    """Open a handle on a part of the bytes to send."""
    with open_upload_stream(dataset_file) as handle:
        yield cast("BinaryIO", _PartReader(handle, start, min(length, dataset_file.wire_bytes - start)))


def compute_md5(dataset_file: DatasetFile) -> str:
    """Return the MD5 of the bytes to send. Reads the whole file: call it in a thread, once for all accounts."""
    with open_upload_stream(dataset_file) as handle:
        return hashlib.file_digest(handle, _new_md5).hexdigest()  # type: ignore[arg-type]


async def iter_chunks(dataset_file: DatasetFile) -> AsyncIterator[bytes]:
    """Yield the bytes to send in chunks."""
    with open_upload_stream(dataset_file) as handle:
        while data := handle.read(CHUNK_BYTES):
            yield data


async def iter_part_chunks(dataset_file: DatasetFile, start: int, length: int) -> AsyncIterator[bytes]:
    """Yield a part of the bytes to send in chunks."""
    with open_part_stream(dataset_file, start, length) as handle:
        while data := handle.read(CHUNK_BYTES):
            yield data


def check_upload_size(dataset_file: DatasetFile, capabilities: Capabilities, account: str) -> None:
    """Raise RequestRejected for a file that the provider would refuse after the whole upload."""
    if dataset_file.wire_bytes > capabilities.maximum_bytes:
        raise RequestRejected(
            f"the dataset has {dataset_file.wire_bytes:,} bytes and the provider accepts files of at most "
            f"{capabilities.maximum_bytes:,} bytes",
            hint="Make the dataset smaller, or train it at a provider that accepts larger files.",
            account=account,
        )


def _new_md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


class _PartReader(io.RawIOBase):
    """Presents a range of a file's bytes as a file."""

    def __init__(self, stream: BinaryIO, start: int, length: int) -> None:
        self._stream = stream
        self._start = start
        self._length = length
        self._position = 0
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence] + offset
        self._stream.seek(self._start + self._position)
        return self._position

    def read(
        self, size: int = -1
    ) -> bytes:  # overridden, because RawIOBase.read calls readinto and copies everything twice
        left = self._length - self._position
        data = self._stream.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data


class _BomReader(io.RawIOBase):
    """Presents a file with a byte-order mark before its first byte. Positions include the mark."""

    def __init__(self, plain: BinaryIO) -> None:
        self._stream = plain
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        mark = len(BOM_UTF8)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: mark + self._stream.seek(0, os.SEEK_END)}[
            whence
        ]
        self._position = start + offset
        self._stream.seek(max(self._position - mark, 0))
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = BOM_UTF8[self._position : self._position + len(buffer)] or self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
