"""A file of byte values by key, which is replaced as a whole and ignored when it is damaged."""

# Layout: magic, fingerprint, the values one after the other, one row per value (key, offset, size, checksum), and a
# footer (offset and checksum of the rows). A value is read when it is needed; its checksum shows if it is damaged.
# The file is read with `pread` and is not mapped, because a mapped file that somebody truncates kills the process.
#
# A new file is written beside the old one and renamed, so that several processes may write at the same time: the last
# one wins. New values are written as they come; the values that are kept are copied at the end. A file contains the
# values of one check only, so that those of deleted chats disappear.

from __future__ import annotations

import os
import stat
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self
from zlib import crc32

from orchestrator.system.private_files import create_private_folder
from orchestrator.system.regular_file import open_regular_file

KEY_BYTES: Final = 16
FINGERPRINT_BYTES: Final = 32
CACHE_SUFFIX: Final = ".check"
TEMPORARY_SUFFIX: Final = ".check-new"
ABANDONED_SECONDS: Final = 24 * 3600  # after which an unfinished file is that of a killed process
_MAGIC: Final = b"orchchk1"
_ROW: Final = struct.Struct("<16sQII")
_FOOTER: Final = struct.Struct("<QI")
_WINDOW_BYTES: Final = 256 << 10  # values are mostly read in the order of the file
_OPEN_TO_WRITERS: Final = stat.S_IWGRP | stat.S_IWOTH


class _Row(NamedTuple):
    key: bytes
    offset: int
    size: int
    checksum: int


class ResultFile:
    """Values of an earlier check, and those of this one. Nothing that is wrong with the file is an error."""

    def __init__(self, path: Path, fingerprint: bytes, max_bytes: int) -> None:
        """Prepare the file at `path`. Its values are only used if they were saved with the same fingerprint."""
        self._path = path
        self._fingerprint = fingerprint
        self._max_bytes = max_bytes
        self._old: BinaryIO | None = None
        self._rows: dict[bytes, _Row] = {}
        self._used: dict[bytes, _Row] = {}
        self._window = b""
        self._window_start = 0
        self._new: BinaryIO | None = None
        self._new_path: Path | None = None
        self._new_rows: dict[bytes, _Row] = {}
        self._offset = len(_MAGIC) + FINGERPRINT_BYTES
        self._is_writable = True

    def __enter__(self) -> Self:
        with suppress(OSError, struct.error):
            self._old = open_regular_file(self._path)
            self._rows = self._read_rows(self._old)
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._old, self._new):
            if file is not None:
                with suppress(OSError):
                    file.close()
        if self._new_path is not None:
            with suppress(OSError):
                self._new_path.unlink()

    def __len__(self) -> int:
        """Return the number of values of the earlier check."""
        return len(self._rows)

    def _read_rows(self, file: BinaryIO) -> dict[bytes, _Row]:
        """Read where each value is. Empty for the file of another program, or of another user."""
        state = os.fstat(file.fileno())
        if state.st_uid != os.geteuid() or state.st_mode & _OPEN_TO_WRITERS:
            return {}  # others could hide findings
        if file.read(len(_MAGIC) + FINGERPRINT_BYTES) != _MAGIC + self._fingerprint:
            return {}
        end = state.st_size - _FOOTER.size
        start, checksum = _FOOTER.unpack(os.pread(file.fileno(), _FOOTER.size, end))
        if not 0 <= start <= end or (end - start) % _ROW.size:
            return {}
        rows = os.pread(file.fileno(), end - start, start)
        if len(rows) != end - start or crc32(rows) != checksum:
            return {}
        return {row[0]: _Row._make(row) for row in _ROW.iter_unpack(rows)}

    def find(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None if there is none or it is damaged."""
        if (row := self._rows.get(key)) is None:
            return None
        value = self._read_value(row)
        return value if crc32(value) == row.checksum else None

    def _read_value(self, row: _Row) -> bytes:
        assert self._old is not None
        start = row.offset - self._window_start
        if start < 0 or start + row.size > len(self._window):
            try:
                self._window = os.pread(self._old.fileno(), max(_WINDOW_BYTES, row.size), row.offset)
            except OSError:
                self._window = b""
            self._window_start, start = row.offset, 0
        return self._window[start : start + row.size]

    def keep(self, key: bytes) -> None:
        """Keep the value of a key of the earlier check."""
        self._used[key] = self._rows[key]

    def add(self, key: bytes, value: bytes) -> None:
        """Add a value of this check."""
        if key in self._new_rows or not self._is_writable:
            return
        try:
            if self._new is None:
                self._new = self._create()
            self._write(self._new, key, value)
        except OSError:
            self._is_writable = False

    def _create(self) -> BinaryIO:
        create_private_folder(self._path.parent)
        descriptor, name = tempfile.mkstemp(suffix=TEMPORARY_SUFFIX, dir=self._path.parent)  # with the mode 0600
        self._new_path = Path(name)
        file = os.fdopen(descriptor, "wb")
        file.write(_MAGIC + self._fingerprint)
        return file

    def _write(self, file: BinaryIO, key: bytes, value: bytes) -> None:
        if self._offset + len(value) > self._max_bytes:
            self._is_writable = False
            return
        file.write(value)
        self._new_rows[key] = _Row(key, self._offset, len(value), crc32(value))
        self._offset += len(value)

    def save(self) -> None:
        """Replace the file by the values that were kept and added. Without a change, nothing is written."""
        with suppress(OSError):
            if self._new is None and len(self._used) == len(self._rows):
                if self._rows:
                    os.utime(self._path)  # the file that was not used for the longest time is deleted first
                return
            self._new = self._new or self._create()
            for key, row in self._used.items():
                if key not in self._new_rows and crc32(value := self._read_value(row)) == row.checksum:
                    self._write(self._new, key, value)
            if self._is_writable:
                self._finish(self._new)

    def _finish(self, file: BinaryIO) -> None:
        assert self._new_path is not None
        rows = b"".join(_ROW.pack(*row) for row in self._new_rows.values())
        file.write(rows + _FOOTER.pack(self._offset, crc32(rows)))
        file.close()
        self._new_path.replace(self._path)
        self._new_path = None
        delete_surplus_files(self._path, self._max_bytes)


def delete_surplus_files(newest: Path, max_bytes: int) -> None:
    """Delete the files that were not used for the longest time until the folder has at most `max_bytes`.

    Unfinished files of killed processes are deleted, too.
    """
    now = newest.stat().st_mtime
    rest = max_bytes
    files = []
    for path in newest.parent.iterdir():
        with suppress(OSError):
            state = path.stat()
            if path.suffix == CACHE_SUFFIX:
                files.append((path == newest, state.st_mtime, state.st_size, path))
            elif path.suffix == TEMPORARY_SUFFIX and state.st_mtime < now - ABANDONED_SECONDS:
                path.unlink()
    for _, _, size, path in sorted(files, reverse=True):
        rest -= size
        if rest < 0:
            with suppress(OSError):
                path.unlink()
