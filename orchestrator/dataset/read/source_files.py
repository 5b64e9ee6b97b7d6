"""Files: which files a dataset path means, and how their text is reached, whatever its encoding.

Reading is bounded: only regular files are opened, and no more than `MAX_FILE_BYTES` of a file and `MAX_TEXT_BYTES` of
a line are taken. A device, a sparse file or a line without an end would otherwise take all memory.
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

MAX_FILE_BYTES: Final = 8 << 30  # as much as the most generous provider takes for a whole dataset
MAX_TEXT_BYTES: Final = 128 << 20  # of one line or document: each is in memory as a whole, and decoded beside it
READABLE_SUFFIXES = (".json", ".jsonl", ".ndjson")

DatasetPaths = Path | Sequence[Path]
"""A path alone names its files as seen from there; in a sequence, as the paths themselves are written."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the dataset; `name` is its path as findings show it, with `/` on every system."""

    path: Path
    name: str


@dataclass(slots=True)
class FolderListing:
    """What lies in a folder, by name: each thing is in exactly one of the lists.

    `ignored` names the files that are not read and, with a `/` at the end, the folders that are not entered: hidden
    ones, and the links among `links`. `unreadable` are folders with the reason why they cannot be listed.
    """

    readable: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    folder_links: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def list_source_files(path: DatasetPaths) -> list[SourceFile]:
    """The files that are read, each once, in the order of the dataset: a file alone, or a folder's by name."""
    if not isinstance(path, Path):
        named = (source for one in path for source in list_source_files(one))
        once = {source.path.absolute(): SourceFile(source.path, source.path.as_posix()) for source in named}
        return list(once.values())
    if path.exists() and not path.is_dir():
        return [SourceFile(path, path.name)]
    return [SourceFile(path / name, name) for name in list_folder(path).readable]


def list_folders(paths: DatasetPaths) -> FolderListing:
    """List the folders among the paths as one; names are as the paths are written. A file alone is not listed."""
    if isinstance(paths, Path):
        return list_folder(paths)
    whole = FolderListing()
    for path in paths:
        one = list_folder(path)
        whole.readable += [_join_name(path, name) for name in one.readable]
        whole.ignored += [_join_name(path, name) for name in one.ignored]
        whole.folder_links += [_join_name(path, name) for name in one.folder_links]
        whole.unreadable += [(_join_name(path, name), reason) for name, reason in one.unreadable]
    return whole


def _join_name(path: Path, name: str) -> str:
    return (path / name).as_posix() + ("/" if name.endswith("/") else "")


def list_missing_paths(path: DatasetPaths) -> list[Path]:
    """Which of the paths do not exist."""
    return [one for one in ((path,) if isinstance(path, Path) else path) if not one.exists()]


def get_file_size(source: SourceFile) -> int:
    """Bytes on disk; 0 when it has gone, which reading it will tell."""
    try:
        return source.path.stat().st_size
    except OSError:
        return 0


def list_folder(folder: Path) -> FolderListing:
    """List everything below the folder, each list sorted by name, the same on every machine.

    A link to a folder is not followed: it may lead back to where it lies, or to chats that are read already.
    """
    listing = FolderListing()

    def note(error: OSError) -> None:
        # scandir gives no path for a folder that has gone; then the whole folder is what cannot be read.
        place = Path(error.filename or folder)
        listing.unreadable.append((f"{_relative_name(folder, place)}/", error.strerror or "unknown error"))

    for root, folders, files in os.walk(folder, onerror=note) if folder.is_dir() else ():
        within = _relative_name(folder, Path(root))
        prefix = "" if within == "." else f"{within}/"
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        closed = {*links, *(name for name in folders if name.startswith("."))}
        folders[:] = [name for name in folders if name not in closed]
        listing.folder_links += [f"{prefix}{name}/" for name in links if not name.startswith(".")]
        listing.ignored += [f"{prefix}{name}/" for name in closed]
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
    """Changes when a file's name, size or modification time does. Reads no content; a missing path is a value too."""
    digest = sha256()
    for source in list_source_files(path):
        try:
            stat = source.path.stat()
        except OSError:
            continue  # gone between listing and looking: the next look shows it
        digest.update(f"{source.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


class TextTooLong(ValueError):
    """A line, or a document that begins at `line`, has more than `MAX_TEXT_BYTES`."""

    def __init__(self, line: int, what: str = "the line") -> None:
        super().__init__(f"{what} has more than {format_bytes(MAX_TEXT_BYTES)}")
        self.line = line


def iter_lines(path: Path) -> Iterator[bytes]:
    """Yield the file's lines as UTF-8 without their ends and without a byte order mark.

    Raises OSError, also where the file is not a regular one or is too large; UnicodeError; and TextTooLong.
    """
    with open_regular_file(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise _file_too_large(path)
        encoding = _detect_utf_encoding(file)
        taken = 0
        for number, line in enumerate(
            _iter_raw_lines(file) if encoding is None else _iter_decoded_lines(file, encoding)
        ):
            if len(line) > MAX_TEXT_BYTES:
                raise TextTooLong(number + 1)
            taken += len(line)
            if taken > MAX_FILE_BYTES:  # the file grows while it is read
                raise _file_too_large(path)
            yield line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").rstrip(b"\r\n")


def read_head(path: Path, count: int) -> bytes:
    """Return the first bytes of the file as they are on disk. Raises OSError, also where it is not a regular one."""
    with open_regular_file(path) as file:
        return file.read(count)


def read_document(path: Path) -> bytes:
    """Return the whole text of the file. Raises what `lines` raises."""
    return b"\n".join(iter_document_lines(path))


def iter_document_lines(path: Path) -> Iterator[bytes]:
    """Yield what `lines` yields, for a reader that keeps all of it: together it is no more than one text may have."""
    taken = 0
    for row in iter_lines(path):
        taken += len(row) + 1
        if taken > MAX_TEXT_BYTES:
            raise TextTooLong(1, "the document")
        yield row


def _iter_raw_lines(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.readline, MAX_TEXT_BYTES + 1), b"")


def _iter_decoded_lines(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    with TextIOWrapper(file, encoding=encoding, newline="\n", errors="surrogatepass") as text:
        for row in iter(partial(text.readline, MAX_TEXT_BYTES + 1), ""):
            yield row.encode("utf-8", "surrogatepass")


def _file_too_large(path: Path) -> FileTooLarge:
    return FileTooLarge(errno.EFBIG, f"it has more than {format_bytes(MAX_FILE_BYTES)}", str(path))


def _detect_utf_encoding(file: BinaryIO) -> str | None:
    """Tell UTF-16 and UTF-32 by the byte order mark or by the zero bytes around the first character; else None."""
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
