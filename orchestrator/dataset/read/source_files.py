"""Lists the source files of a dataset path and reads their text in any UTF encoding.

Reading is bounded: only regular files are opened, and at most `MAX_FILE_BYTES` of a file and `MAX_TEXT_BYTES` of a
line are read. Otherwise a device, a sparse file or a line without an end would take all memory.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator.core.text import format_bytes
from orchestrator.system.regular_file import FileTooLarge, open_regular_file, read_beginning

MAX_FILE_BYTES: Final = 8 << 30  # the largest dataset that any provider accepts
MAX_TEXT_BYTES: Final = 128 << 20  # of one line or document, which is in memory twice: as text and decoded
SMALL_FILE_BYTES: Final = 1 << 20  # up to this size, a file is opened and read only once
READABLE_SUFFIXES = (".json", ".jsonl", ".ndjson")

DatasetPaths = Path | Sequence[Path]
"""One path: file names are relative to it. A sequence of paths: file names start with the path as written."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the dataset."""

    location: str  # the path; as a text, because building many `Path` takes longer than reading small files
    name: str  # the path as findings show it, with / on every system
    size: int | None = None  # in bytes, if `measure_sources` found a regular file
    content: bytes | None = field(default=None, repr=False)  # of a small file; None: it is read from the path

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(self.location)


FolderLister = Callable[[Path], "FolderListing"]


@dataclass(slots=True)
class FolderListing:
    """The content of a folder and its sub-folders, by name relative to the folder."""

    readable: list[str] = field(default_factory=list)  # files to read
    ignored: list[str] = field(default_factory=list)  # other files; folders that are not entered, with / at the end
    folder_links: list[str] = field(default_factory=list)  # links to folders; they are also in `ignored`
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # folders that cannot be listed, and the reason


def list_source_files(path: DatasetPaths, lister: FolderLister | None = None) -> list[SourceFile]:
    """List the files to read, each once, in the order of the dataset. The files of a folder are sorted by name.

    `lister` replaces `list_folder`, such as by a function that remembers its results.
    """
    lister = lister or list_folder
    if not isinstance(path, Path):
        locations = [source.location for entry in path for source in list_source_files(entry, lister)]
        if len(path) > 1:
            locations = list({Path(location).absolute(): location for location in locations}.values())
        return [SourceFile(location, location.replace(os.sep, "/")) for location in locations]
    if path.exists() and not path.is_dir():
        return [SourceFile(str(path), path.name)]
    prefix = str(path / "_")[:-1]
    return [SourceFile(prefix + name, name) for name in lister(path).readable]


def list_folders(paths: DatasetPaths, lister: FolderLister | None = None) -> FolderListing:
    """List the content of all folders among the paths; names start with the path as written. Files are skipped."""
    lister = lister or list_folder
    if isinstance(paths, Path):
        return lister(paths)
    combined = FolderListing()
    for path in paths:
        listing = lister(path)
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


def measure_sources(sources: Iterable[SourceFile]) -> list[SourceFile]:
    """Return the sources with the sizes of the regular files among them."""
    return [SourceFile(source.location, source.name, _find_size(source.location)) for source in sources]


def _find_size(location: str) -> int | None:
    try:
        state = os.stat(location)  # noqa: PTH116 - for the time, see `location`
    except OSError:
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def get_file_size(source: SourceFile) -> int:
    """Return the size in bytes; 0 if the file no longer exists, which is reported when it is read."""
    if source.size is not None:
        return source.size
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
            state = source.path.stat()
        except OSError:
            continue  # deleted after it was listed; the next call notices
        digest.update(f"{source.name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


class TextTooLong(ValueError):
    """A line, or a document that starts at `line`, has more than `MAX_TEXT_BYTES`."""

    def __init__(self, line: int, subject: str = "the line") -> None:
        super().__init__(f"{subject} has more than {format_bytes(MAX_TEXT_BYTES)}")
        self.line = line


def load_small_file(source: SourceFile) -> SourceFile:
    """Return the source with its content if it is a small file. Raises OSError, also for what is no regular file."""
    if source.content is not None:
        return source
    if source.size is None:
        with open_regular_file(source.path) as file:
            content = file.read(SMALL_FILE_BYTES + 1)
    else:
        content = read_beginning(source.location, SMALL_FILE_BYTES + 1)
    return (
        source if len(content) > SMALL_FILE_BYTES else SourceFile(source.location, source.name, source.size, content)
    )


def _open_source(source: SourceFile) -> BinaryIO:
    return open_regular_file(source.path) if source.content is None else BytesIO(source.content)


def iter_lines(source: SourceFile) -> Iterator[bytes]:
    """Yield the lines of the file as UTF-8, without line ends and without a byte order mark.

    Raises OSError (also for a file that is not regular or too large), UnicodeError and TextTooLong.
    """
    with _open_source(source) as file:
        if source.content is None and os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise _file_too_large(source.path)
        encoding = _detect_utf_encoding(file)
        bytes_read = 0
        for number, line in enumerate(
            _iter_raw_lines(file) if encoding is None else _iter_decoded_lines(file, encoding)
        ):
            if len(line) > MAX_TEXT_BYTES:
                raise TextTooLong(number + 1)
            bytes_read += len(line)
            if bytes_read > MAX_FILE_BYTES:  # the file grows while it is read
                raise _file_too_large(source.path)
            yield line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").rstrip(b"\r\n")


def read_head(source: SourceFile, count: int) -> bytes:
    """Return the first `count` bytes of the file. Raises OSError, also for a file that is not regular."""
    with _open_source(source) as file:
        return file.read(count)


def read_document(source: SourceFile) -> bytes:
    """Return the text of the file as UTF-8. Raises the errors of `iter_lines`."""
    return b"\n".join(iter_document_lines(source))


def iter_document_lines(source: SourceFile) -> Iterator[bytes]:
    """Yield the lines of the file for a reader that keeps all of them in memory.

    Raises TextTooLong when they are larger than MAX_TEXT_BYTES together, and the errors of `iter_lines`.
    """
    bytes_read = 0
    for line in iter_lines(source):
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
