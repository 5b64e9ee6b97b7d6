"""Lists the source files of a dataset path and reads their text in any UTF encoding.

Reading is bounded: only regular files are opened, and at most `MAX_FILE_BYTES` of a file and `MAX_TEXT_BYTES` of a
line are read. Otherwise a device, a sparse file or a line without an end would take all memory.
"""

from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator.core.text import format_bytes
from orchestrator.system.regular_file import FileTooLarge, open_regular_file

MAX_FILE_BYTES: Final = 8 << 30  # the largest dataset that any provider accepts
MAX_TEXT_BYTES: Final = 128 << 20  # of one line or document, which is in memory twice: as text and decoded
READABLE_SUFFIXES = (".json", ".jsonl", ".ndjson")

DatasetPaths = Path | Sequence[Path]
"""One path: file names are relative to it. A sequence of paths: file names start with the path as written."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the dataset."""

    path: Path
    name: str  # the path as findings show it, with / on every system


@dataclass(slots=True)
class FolderListing:
    """The content of a folder and its sub-folders, by name relative to the folder."""

    readable: list[str] = field(default_factory=list)  # files to read
    ignored: list[str] = field(default_factory=list)  # other files; folders that are not entered, with / at the end
    folder_links: list[str] = field(default_factory=list)  # links to folders; they are also in `ignored`
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # folders that cannot be listed, and the reason


def list_source_files(path: DatasetPaths) -> list[SourceFile]:
    """List the files to read, each once, in the order of the dataset. The files of a folder are sorted by name."""
    if not isinstance(path, Path):
        sources = (source for entry in path for source in list_source_files(entry))
        distinct = {source.path.absolute(): SourceFile(source.path, source.path.as_posix()) for source in sources}
        return list(distinct.values())
    if path.exists() and not path.is_dir():
        return [SourceFile(path, path.name)]
    return [SourceFile(path / name, name) for name in list_folder(path).readable]


def list_folders(paths: DatasetPaths) -> FolderListing:
    """List the content of all folders among the paths; names start with the path as written. Files are skipped."""
    if isinstance(paths, Path):
        return list_folder(paths)
    combined = FolderListing()
    for path in paths:
        listing = list_folder(path)
        combined.readable += [_join_name(path, name) for name in listing.readable]
        combined.ignored += [_join_name(path, name) for name in listing.ignored]
        combined.folder_links += [_join_name(path, name) for name in listing.folder_links]
        combined.unreadable += [(_join_name(path, name), reason) for name, reason in listing.unreadable]
    return combined


def _join_name(path: Path, name: str) -> str:
    return (path / name).as_posix() + ("/" if name.endswith("/") else "")


def list_missing_paths(path: DatasetPaths) -> list[Path]:
    """List the paths that do not exist."""
    return [entry for entry in ((path,) if isinstance(path, Path) else path) if not entry.exists()]


def get_file_size(source: SourceFile) -> int:
    """Return the size in bytes; 0 if the file no longer exists, which is reported when it is read."""
    try:
        return source.path.stat().st_size
    except OSError:
        return 0


def list_folder(folder: Path) -> FolderListing:
    """List everything below the folder, each list sorted by name, so that it is the same on every machine.

    Links to folders are not followed: they may lead to a parent folder, or to chats that are read already.
    """
    listing = FolderListing()

    def add_unreadable(error: OSError) -> None:
        # scandir gives no path for a folder that was deleted meanwhile; then the root folder is reported.
        place = Path(error.filename or folder)
        listing.unreadable.append((f"{_relative_name(folder, place)}/", error.strerror or "unknown error"))

    for root, folders, files in os.walk(folder, onerror=add_unreadable) if folder.is_dir() else ():
        within = _relative_name(folder, Path(root))
        prefix = "" if within == "." else f"{within}/"
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        skipped = {*links, *(name for name in folders if name.startswith("."))}
        folders[:] = [name for name in folders if name not in skipped]  # os.walk enters what remains in the list
        listing.folder_links += [f"{prefix}{name}/" for name in links if not name.startswith(".")]
        listing.ignored += [f"{prefix}{name}/" for name in skipped]
        for name in files:
            (listing.readable if _is_readable(name) else listing.ignored).append(prefix + name)
    return FolderListing(
        sorted(listing.readable), sorted(listing.ignored), sorted(listing.folder_links), sorted(listing.unreadable)
    )


def _relative_name(folder: Path, place: Path) -> str:
    return place.relative_to(folder).as_posix()


def _is_readable(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(READABLE_SUFFIXES)


def compute_fingerprint(path: DatasetPaths) -> str:
    """Return a text that changes when the name, size or modification time of a file does.

    It reads no content, and a missing path has a fingerprint, too.
    """
    digest = sha256()
    for source in list_source_files(path):
        try:
            stat = source.path.stat()
        except OSError:
            continue  # deleted after it was listed; the next call notices
        digest.update(f"{source.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


class TextTooLong(ValueError):
    """A line, or a document that starts at `line`, has more than `MAX_TEXT_BYTES`."""

    def __init__(self, line: int, subject: str = "the line") -> None:
        super().__init__(f"{subject} has more than {format_bytes(MAX_TEXT_BYTES)}")
        self.line = line


def iter_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of the file as UTF-8, without line ends and without a byte order mark.

    Raises OSError (also for a file that is not regular or too large), UnicodeError and TextTooLong.
    """
    with open_regular_file(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise _file_too_large(path)
        encoding = _detect_utf_encoding(file)
        bytes_read = 0
        for number, line in enumerate(
            _iter_raw_lines(file) if encoding is None else _iter_decoded_lines(file, encoding)
        ):
            if len(line) > MAX_TEXT_BYTES:
                raise TextTooLong(number + 1)
            bytes_read += len(line)
            if bytes_read > MAX_FILE_BYTES:  # the file grows while it is read
                raise _file_too_large(path)
            yield line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").rstrip(b"\r\n")


def read_head(path: Path, count: int) -> bytes:
    """Return the first `count` bytes of the file. Raises OSError, also for a file that is not regular."""
    with open_regular_file(path) as file:
        return file.read(count)


def read_document(path: Path) -> bytes:
    """Return the text of the file as UTF-8. Raises the errors of `iter_lines`."""
    return b"\n".join(iter_document_lines(path))


def iter_document_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of the file for a reader that keeps all of them in memory.

    Raises TextTooLong when they are larger than MAX_TEXT_BYTES together, and the errors of `iter_lines`.
    """
    bytes_read = 0
    for line in iter_lines(path):
        bytes_read += len(line) + 1
        if bytes_read > MAX_TEXT_BYTES:
            raise TextTooLong(1, "the document")
        yield line


def _iter_raw_lines(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.readline, MAX_TEXT_BYTES + 1), b"")


def _iter_decoded_lines(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    with TextIOWrapper(file, encoding=encoding, newline="\n", errors="surrogatepass") as text:
        for line in iter(partial(text.readline, MAX_TEXT_BYTES + 1), ""):
            yield line.encode("utf-8", "surrogatepass")


def _file_too_large(path: Path) -> FileTooLarge:
    return FileTooLarge(errno.EFBIG, f"it has more than {format_bytes(MAX_FILE_BYTES)}", str(path))


def _detect_utf_encoding(file: BinaryIO) -> str | None:
    """Detect UTF-16 and UTF-32 by the byte order mark or the zero bytes around the first character; else None."""
    head = file.read(4)
    file.seek(0)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) >= 2 and head[1] == 0 != head[0]:
        return "utf-16-le"
    if len(head) >= 2 and head[0] == 0 != head[1]:
        return "utf-16-be"
    return None
