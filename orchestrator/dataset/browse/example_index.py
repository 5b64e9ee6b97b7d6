"""The index of a canonical JSONL file: place, size and findings of each example, so that a page parses little."""

# The index is a file beside the JSONL: a header in JSON, then one row of fixed size per example. Rows are read
# through a memory map, so that a page of 100,000 examples costs as much as one of 100. The index holds no text of the
# chats. It is stale when the version, the size or the time of the JSONL, or the base model differs; then it is built
# again.

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, NamedTuple

from orchestrator.core.structs import Struct, asdict
from orchestrator.dataset.browse.distribution import Distribution, build_distribution

INDEX_VERSION: Final = 1
INDEX_SUFFIX: Final = ".index"
_PREFIX: Final = struct.Struct("<8sI")  # magic, and size of the header
_MAGIC: Final = b"orchidx\n"
_ROW: Final = struct.Struct("<QIIIIQQQ")
_MAX_HEADER_BYTES: Final = 1 << 16
# Type, first position and distance of a field, if the rows are read as an array of this type.
_COLUMNS: Final[dict[str, tuple[Literal["I", "Q"], int, int]]] = {
    "tokens": ("I", 3, 12),
    "turns": ("I", 4, 12),
    "flags": ("I", 5, 12),
    "findings": ("Q", 3, 6),
    "prompt_hash": ("Q", 4, 6),
    "line_hash": ("Q", 5, 6),
}
TOKENS_ESTIMATED: Final = 1  # flag of a row


class IndexRow(NamedTuple):
    """One example: where its line is and what is known about it."""

    offset: int  # of the line in the JSONL, in bytes
    size: int  # of the line, in bytes
    tokens: int
    turns: int  # user messages
    flags: int
    findings: int  # one bit per code of the header
    prompt_hash: int  # of the first user message
    line_hash: int


class IndexHeader(Struct, frozen=True):
    """What the rows were built from. `codes` are the finding codes of the bits, lowest first."""

    size: int  # of the JSONL, in bytes
    mtime_ns: int
    base_model: str
    encoding: str
    codes: tuple[str, ...]

    def encode(self) -> bytes:
        """Return the beginning of the index file."""
        values = asdict(self) | {"version": INDEX_VERSION}
        text = json.dumps(values).encode()
        return _PREFIX.pack(_MAGIC, len(text)) + text


class IndexTotals(Struct, frozen=True, kw_only=True):
    """The distribution of tokens and turns, and the number of examples with each finding."""

    examples: int
    tokens: Distribution
    turns: Distribution
    estimated: bool  # whether the tokens of any example are an estimate
    findings: dict[str, int]


class ExampleIndex:
    """A valid index, open through a memory map."""

    def __init__(self, header: IndexHeader, rows: memoryview) -> None:
        self.header = header
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def __iter__(self) -> Iterator[IndexRow]:
        return map(IndexRow._make, _ROW.iter_unpack(self._rows))

    def get_row(self, number: int) -> IndexRow:
        """Return the row of an example, counted from 0."""
        return IndexRow._make(_ROW.unpack_from(self._rows, number * _ROW.size))

    def list_codes(self, row: IndexRow) -> tuple[str, ...]:
        """Return the codes of the findings of an example."""
        return tuple(code for bit, code in enumerate(self.header.codes) if row.findings >> bit & 1)

    def find_mask(self, code: str) -> int | None:
        """Return the bit of a finding code; None if examples cannot have it."""
        return 1 << self.header.codes.index(code) if code in self.header.codes else None

    def list_column(self, name: str) -> list[int]:
        """Return one field of all rows. Much faster than a loop over the rows: the values are copied in C."""
        code, start, step = _COLUMNS[name]
        if sys.byteorder == "big":  # the file is little-endian
            return [getattr(row, name) for row in self]
        return self._rows.cast("B").cast(code)[start::step].tolist()

    def find_numbers(self, mask: int) -> array[int]:
        """Return the examples with any of these findings, counted from 0."""
        return array("I", (number for number, row in enumerate(self.list_column("findings")) if row & mask))

    @cached_property
    def totals(self) -> IndexTotals:
        """The distributions, in one pass over the columns."""
        tokens, turns = self.list_column("tokens"), self.list_column("turns")
        estimated = any(flags & TOKENS_ESTIMATED for flags in set(self.list_column("flags")))
        masks = Counter(self.list_column("findings"))
        by_code = {
            code: sum(count for mask, count in masks.items() if mask >> bit & 1)
            for bit, code in enumerate(self.header.codes)
        }
        return IndexTotals(
            examples=len(tokens),
            tokens=build_distribution(tokens),
            turns=build_distribution(turns),
            estimated=estimated,
            findings={code: count for code, count in by_code.items() if count},
        )


def encode_row(row: IndexRow) -> bytes:
    """Encode one row of the index file."""
    return _ROW.pack(*row)


def get_index_path(jsonl: Path) -> Path:
    """Return the path of the index of a JSONL file."""
    return jsonl.with_suffix(INDEX_SUFFIX)


def find_index(jsonl: Path, base_model: str) -> ExampleIndex | None:
    """Open the index of a JSONL file; None if there is none, or it is stale or damaged."""
    try:
        state = jsonl.stat()
        with get_index_path(jsonl).open("rb") as file:
            magic, size = _PREFIX.unpack(file.read(_PREFIX.size))
            if magic != _MAGIC or size > _MAX_HEADER_BYTES:
                return None
            values = json.loads(file.read(size))
            start, end = file.tell(), os.fstat(file.fileno()).st_size
            if values.pop("version") != INDEX_VERSION or (end - start) % _ROW.size:
                return None
            header = IndexHeader(**values | {"codes": tuple(values["codes"])})
            rows = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
    built_from = (header.size, header.mtime_ns, header.base_model)
    return ExampleIndex(header, rows) if built_from == (state.st_size, state.st_mtime_ns, base_model) else None
