"""Files: which files a dataset path means, and how their text is reached, whatever its encoding."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

READ = (".json", ".jsonl", ".ndjson")

Paths = Path | Sequence[Path]
"""A path alone names its files as seen from there; in a sequence, as the paths themselves are written."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the dataset; `name` is its path as findings show it, with `/` on every system."""

    path: Path
    name: str


def sources(path: Paths) -> list[Source]:
    """The files that are read, each once, in the order of the dataset: a file alone, or a folder's by name."""
    if not isinstance(path, Path):
        named = (source for one in path for source in sources(one))
        once = {source.path.absolute(): Source(source.path, source.path.as_posix()) for source in named}
        return list(once.values())
    if path.is_file():
        return [Source(path, path.name)]
    return [Source(path / name, name) for name in _names(path) if name.lower().endswith(READ)]


def ignored(path: Paths) -> list[str]:
    """The names of a folder's other files: they are not read, and the summary says so."""
    if not isinstance(path, Path):
        return [(one / name).as_posix() for one in path for name in ignored(one)]
    return [] if path.is_file() else [name for name in _names(path) if not name.lower().endswith(READ)]


def missing(path: Paths) -> list[Path]:
    """Which of the paths do not exist."""
    return [one for one in ((path,) if isinstance(path, Path) else path) if not one.exists()]


def size(source: Source) -> int:
    """Bytes on disk; 0 when it has gone, which reading it will tell."""
    try:
        return source.path.stat().st_size
    except OSError:
        return 0


def _names(folder: Path) -> list[str]:
    """Every visible file below the folder, sorted by name, the same on every machine."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(root) / name).relative_to(folder).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def fingerprint(path: Path) -> str:
    """Changes when a file's name, size or modification time does. Reads no content; a missing path is a value too."""
    digest = sha256()
    for source in sources(path):
        try:
            stat = source.path.stat()
        except OSError:
            continue  # gone between listing and looking: the next look shows it
        digest.update(f"{source.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def lines(path: Path) -> Iterator[bytes]:
    """The file's lines as UTF-8 without their ends, one at a time. A byte order mark is left out."""
    encoding = _encoding(path)
    if encoding is None:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                yield line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").rstrip(b"\r\n")
    else:
        with path.open(encoding=encoding, newline="\n", errors="surrogatepass") as text:
            for number, row in enumerate(text):
                yield (
                    row.removeprefix("\ufeff" if number == 0 else "").rstrip("\r\n").encode("utf-8", "surrogatepass")
                )


def _encoding(path: Path) -> str | None:
    """UTF-16 or UTF-32, told by the byte order mark or by the zero bytes around the first character; else None."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) >= 2 and head[1] == 0 != head[0]:
        return "utf-16-le"
    if len(head) >= 2 and head[0] == 0 != head[1]:
        return "utf-16-be"
    return None
