"""Finds and stores the results of pieces of a dataset, by the hash of their content."""

# What is stored: findings, numbers, and hashes of the texts that the checks of the whole dataset compare. It contains
# no line of a chat. A finding may quote a few words, as on the terminal, so a piece is not stored if a chat has both
# a secret and another finding, which could quote a part of the secret.
#
# A result depends on the place of a chat in two ways. Names and near-duplicates are searched with more effort in
# early examples: the result of an early one has all that a late one needs, but not the other way round. And findings
# contain line numbers: results without findings are moved to another line, others are not used there.

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from orchestrator.core.structs import Struct
from orchestrator.dataset.cache.fingerprint import compute_fingerprint, describe_rules
from orchestrator.dataset.cache.result_file import CACHE_SUFFIX, KEY_BYTES, ResultFile
from orchestrator.dataset.example_checker import CheckedChat
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.read.reader import SourcePiece
from orchestrator.dataset.read.source_files import DatasetPaths
from orchestrator.dataset.rules import DatasetRules

MIN_DATASET_BYTES: Final = 1 << 20  # a smaller dataset is checked in less time than the cache saves


class CacheFolder(Struct, frozen=True):
    """Where results are stored: one file for each dataset and set of rules."""

    path: Path
    max_bytes: int  # of all files


class StoredPiece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The results of a piece."""

    early: bool  # whether all chats were checked as early ones
    line: int  # of the first chat
    chats: list[CheckedChat]


class CheckCache:
    """The results of an earlier check of a dataset, and those of this one."""

    def __init__(self, file: ResultFile) -> None:
        self._file = file
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(StoredPiece).decode

    @property
    def is_empty(self) -> bool:
        """Whether there are no results of an earlier check."""
        return not len(self._file)

    def find(self, key: bytes, piece: SourcePiece, *, early: bool) -> list[CheckedChat] | None:
        """Return the results of a piece, or None if they are unknown. `early`: its first chat may be an early one."""
        if (value := self._file.find(key)) is None:
            return None
        try:
            stored = self._decode(value)
        except (msgspec.DecodeError, UnicodeError):
            return None
        if early and not stored.early:
            return None
        chats = _move_chats(stored, _get_first_line(piece) - stored.line)
        if chats is not None:
            self._file.keep(key)
        return chats

    def add(self, key: bytes, piece: SourcePiece, chats: Sequence[CheckedChat], *, early: bool) -> None:
        """Store the results of a piece."""
        if not all(map(_is_storable, chats)):
            return
        kept = [msgspec.structs.replace(chat, texts=None) if chat.texts else chat for chat in chats]
        try:
            value = self._encode(StoredPiece(early, _get_first_line(piece), kept))
        except (UnicodeError, OverflowError):
            return  # half of a character, in the name of a file
        self._file.add(key, value)


@contextmanager
def open_check_cache(folder: CacheFolder, paths: DatasetPaths, rules: DatasetRules) -> Iterator[CheckCache]:
    """Open the cache of a dataset, and save it at the end unless the check failed."""
    names = [str(path.absolute()) for path in ([paths] if isinstance(paths, Path) else paths)]
    identity = sha256(os.fsencode("\0".join((*names, describe_rules(rules))))).hexdigest()[:16]
    with ResultFile(folder.path / (identity + CACHE_SUFFIX), compute_fingerprint(rules), folder.max_bytes) as file:
        yield CheckCache(file)
        file.save()


def compute_key(piece: SourcePiece) -> bytes | None:
    """Return the hash of a piece; None if its results cannot be stored."""
    digest = sha256(piece.source.name.encode("utf-8", "surrogateescape"))
    if piece.lines:
        first, last = piece.lines[0][0], piece.lines[-1][0]
        has_gaps = last - first >= len(piece.lines)  # blank lines
        gaps = [number - first for number, _ in piece.lines] if has_gaps else []
        digest.update(b"\0lines%r\0" % gaps)
        digest.update(b"\n".join([text for _, text in piece.lines]))
    elif piece.lines is None and piece.source.content is not None:
        digest.update(b"\0file\0")
        digest.update(piece.source.content)
    else:
        return None
    return None if piece.refused else digest.digest()[:KEY_BYTES]


def _get_first_line(piece: SourcePiece) -> int:
    return piece.lines[0][0] if piece.lines else 1


def _move_chats(stored: StoredPiece, distance: int) -> list[CheckedChat] | None:
    if not distance:
        return stored.chats
    if any(chat.findings for chat in stored.chats):
        return None
    return [msgspec.structs.replace(chat, line=chat.line + distance) for chat in stored.chats]


def _is_storable(chat: CheckedChat) -> bool:
    codes = {finding.code for finding, _ in chat.findings}
    return len(codes) < 2 or FindingCode.SECRET.slug not in codes
