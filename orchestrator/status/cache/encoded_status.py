"""The `/status` document as clients receive it, without a copy of the lines that it shares with other documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

from orchestrator.status.cache.job_line import JobLine

LINES_PER_CHUNK: Final = 200
"""Lines that are joined at a time: about 200 KB, so that a client that reads slowly holds no copy of the document."""
_TAG_LENGTH: Final = 32


class EncodedStatus:
    """Parts of JSON text: bytes, or the encoded jobs of a run, which are joined by commas."""

    def __init__(self, *parts: bytes | Sequence[JobLine]) -> None:
        self._parts = parts
        self.length: Final = sum(map(_count_bytes, parts))
        """Number of bytes of the document."""
        self.digest: Final = sha256(b"".join(map(_hash, parts))).hexdigest()[:_TAG_LENGTH]
        """Hash of the document: equal for equal documents, also of another process."""

    def iter_chunks(self) -> Iterator[bytes]:
        """Yield the document piece by piece."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            for start in range(0, len(part), LINES_PER_CHUNK):
                text = b",".join(line.text for line in part[start : start + LINES_PER_CHUNK])
                yield b"," + text if start else text

    def join(self) -> bytes:
        """Return the whole document."""
        return b"".join(self.iter_chunks())


def _count_bytes(part: bytes | Sequence[JobLine]) -> int:
    if isinstance(part, bytes):
        return len(part)
    return sum(line.length for line in part) + max(len(part) - 1, 0)


def _hash(part: bytes | Sequence[JobLine]) -> bytes:
    return sha256(part if isinstance(part, bytes) else b"".join(line.digest for line in part)).digest()
