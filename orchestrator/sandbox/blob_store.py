"""Stores the content of files under its SHA-256, so that the same dataset in a thousand accounts is stored once."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from hashlib import sha256
from pathlib import Path
from types import TracebackType


class IncomingBlob:
    """Content that is being received: written to a file, counted and hashed.

    Deleted at the end unless it was saved.
    """

    def __init__(self, folder: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="incoming-", delete=False) as file:
            self.path = Path(file.name)
        self._file = self.path.open("wb")
        self._hash = sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> str:
        """Close the file and return the SHA-256 of its content."""
        self._file.close()
        return self._hash.hexdigest()

    def __enter__(self) -> IncomingBlob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class BlobStore:
    """A folder of contents. Without a folder it is a temporary one, deleted with this object."""

    def __init__(self, folder: Path | None) -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="sandbox-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for incomplete in folder.glob("incoming-*"):  # of a sandbox that was killed while it received them
            incomplete.unlink()

    def create_incoming(self) -> IncomingBlob:
        return IncomingBlob(self._folder)

    def save(self, incoming: IncomingBlob, name: str) -> None:
        """Save finished content under a name. The same name must mean the same content."""
        incoming.path.replace(self._folder / name)

    def path(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.is_file() else None

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        for path in self._folder.iterdir():
            path.unlink()
