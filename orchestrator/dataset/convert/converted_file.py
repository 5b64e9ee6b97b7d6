"""Converts a canonical JSONL file to the wire format of a provider, line by line.

The converted file is a cache beside the canonical one and may be deleted at any time. Its name has the hash of the
canonical file, the format with its version, and its own hash: a file that was damaged does not match its name and is
converted again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final

import msgspec

from orchestrator.core.capabilities import WireFormat
from orchestrator.core.dataset import DatasetPart, local_filename
from orchestrator.core.errors import DatasetChanged
from orchestrator.core.structs import Struct
from orchestrator.dataset.convert import CONVERTERS, ChatConverter
from orchestrator.dataset.convert.refusal import ConversionRefused
from orchestrator.dataset.working_folder import create_working_folder
from orchestrator.system.private_files import open_private_file

# Not .jsonl: the canonical files are what `backup` saves, and these can be made again from them.
CONVERTED_ENDING: Final = ".converted"


class ConvertedFile(Struct, frozen=True, kw_only=True):
    """The bytes that are sent in place of a canonical file."""

    path: Path  # on this machine
    sha256: str  # of the converted bytes
    bytes: int  # their number


def get_converted_file(part: DatasetPart, wire_format: WireFormat) -> ConvertedFile:
    """Return the converted file of a part of a dataset. Convert the part if there is no valid one yet.

    Reads or writes the whole file, so call it in a thread. Raises DatasetChanged if the canonical file is not the one
    of the plan or cannot be converted, and OSError if the folder cannot be written.
    """
    prefix = _name_prefix(part.path.name, wire_format)
    return _find_converted(part.path.parent, prefix) or _convert(part, prefix, wire_format, CONVERTERS[wire_format])


def find_converted_file(folder: Path, sha256: str, wire_format: WireFormat) -> ConvertedFile | None:
    """Return the converted file of the canonical file with this hash; None if it was deleted."""
    return _find_converted(folder, _name_prefix(local_filename(sha256), wire_format))


def list_converted_files(folder: Path, canonical_name: str) -> list[str]:
    """List the names of the files that were converted from this canonical file."""
    return sorted(path.name for path in folder.glob(f"{Path(canonical_name).stem}.*{CONVERTED_ENDING}"))


def _find_converted(folder: Path, prefix: str) -> ConvertedFile | None:
    for path in sorted(folder.glob(f"{prefix}*{CONVERTED_ENDING}")):
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
            size = file.tell()
        if path.name == _converted_name(prefix, digest):
            return ConvertedFile(path=path, sha256=digest, bytes=size)
        path.unlink(missing_ok=True)
    return None


def _convert(part: DatasetPart, prefix: str, wire_format: WireFormat, converter: ChatConverter) -> ConvertedFile:
    canonical, converted, size = sha256(), sha256(), 0
    with create_working_folder(part.path.parent) as folder:
        temporary = folder / "converted"
        with part.path.open("rb") as source, open_private_file(temporary) as target:
            for line, converted_line in _iter_lines(source, part.path, wire_format, converter):
                canonical.update(line)
                converted.update(converted_line)
                size += len(converted_line)
                target.write(converted_line)
            target.flush()
            os.fsync(target.fileno())  # before the rename: after a power failure its name must not lead to less
        if canonical.hexdigest() != part.sha256:
            raise DatasetChanged(f"the dataset's file {part.path} was changed while it was converted")
        path = part.path.parent / _converted_name(prefix, converted.hexdigest())
        temporary.replace(path)
    return ConvertedFile(path=path, sha256=converted.hexdigest(), bytes=size)


def _iter_lines(
    source: Iterator[bytes], path: Path, wire_format: WireFormat, converter: ChatConverter
) -> Iterator[tuple[bytes, bytes]]:
    """Yield each canonical line with its converted line."""
    decode, encode = msgspec.json.Decoder(dict).decode, msgspec.json.Encoder().encode
    for number, line in enumerate(source, 1):
        try:
            yield line, encode(converter.convert_chat(decode(line))) + b"\n"
        except ConversionRefused as refusal:
            raise DatasetChanged(
                f"line {number} of the dataset's file {path} cannot be converted to {wire_format}: {refusal}",
                hint=f"{refusal.hint} Run `orchestrator check` to list the places in the chats.".strip(),
            ) from None


def _name_prefix(canonical_name: str, wire_format: WireFormat) -> str:
    return f"{Path(canonical_name).stem}.{wire_format}-{CONVERTERS[wire_format].version}."


def _converted_name(prefix: str, converted_sha256: str) -> str:
    return f"{prefix}{converted_sha256[:16]}{CONVERTED_ENDING}"
