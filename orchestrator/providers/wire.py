"""Wire: the dataset as it is sent. The canonical bytes, with a byte-order mark before them where one is asked for."""

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
from orchestrator.providers.base import FileToSend

CHUNK = 256 * 1024


@contextmanager
def open_to_send(wanted: FileToSend) -> Iterator[BinaryIO]:
    """A handle of its own for one upload: encoders seek, and a shared one corrupts.

    Raises TemporaryError when the file is gone: it can be made again.
    """
    try:
        plain = wanted.path.open("rb")
    except OSError as error:
        raise TemporaryError(
            f"the dataset's file {wanted.path} cannot be read: {error.strerror}",
            hint="Start the service again, or send it SIGHUP: the file is made anew from the chats.",
        ) from None
    with plain:
        yield cast("BinaryIO", _Marked(plain)) if wanted.byte_order_mark else plain


@contextmanager
def open_part(wanted: FileToSend, start: int, length: int) -> Iterator[BinaryIO]:
    """A handle that shows only a part of what is sent."""
    with open_to_send(wanted) as handle:
        yield cast("BinaryIO", _Part(handle, start, min(length, wanted.wire_bytes - start)))


def md5_of(wanted: FileToSend) -> str:
    """The MD5 of all that is sent. Reads the whole file: call it from a thread, and once for all accounts."""
    with open_to_send(wanted) as handle:
        return hashlib.file_digest(handle, _md5).hexdigest()  # type: ignore[arg-type]


async def chunks(wanted: FileToSend) -> AsyncIterator[bytes]:
    """The bytes to send, a little at a time."""
    with open_to_send(wanted) as handle:
        while data := handle.read(CHUNK):
            yield data


def check_size(wanted: FileToSend, offers: Capabilities, account: str) -> None:
    """Raise RequestRejected for a file the provider would refuse after all of it was sent."""
    if wanted.wire_bytes > offers.maximum_bytes:
        raise RequestRejected(
            f"the dataset has {wanted.wire_bytes:,} bytes and the provider takes files of at most "
            f"{offers.maximum_bytes:,}",
            hint="Make the dataset smaller, or train it at a provider that takes larger files.",
            account=account,
        )


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


class _Part(io.RawIOBase):
    """Some bytes of a file as a file of their own."""

    def __init__(self, whole: BinaryIO, start: int, length: int) -> None:
        self._whole = whole
        self._start = start
        self._length = length
        self._at = 0
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence] + offset
        self._whole.seek(self._start + self._at)
        return self._at

    def read(self, size: int = -1) -> bytes:  # not by way of readinto, which would copy everything twice
        left = self._length - self._at
        data = self._whole.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


class _Marked(io.RawIOBase):
    """A file with a byte-order mark before its first byte. Positions count the mark."""

    def __init__(self, plain: BinaryIO) -> None:
        self._plain = plain
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        mark = len(BOM_UTF8)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: mark + self._plain.seek(0, os.SEEK_END)}[whence]
        self._at = start + offset
        self._plain.seek(max(self._at - mark, 0))
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = BOM_UTF8[self._at : self._at + len(buffer)] or self._plain.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
