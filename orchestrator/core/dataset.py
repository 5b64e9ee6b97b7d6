"""Datasets: the ordered examples as canonical JSONL. The SHA-256 of those bytes identifies a dataset."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from orchestrator.core.structs import Struct

# In the name of a file at a provider: the hash of the converted file, after that of the canonical file.
_CONVERTED_HASH = re.compile(r"_[0-9a-f]{16}(?=[-.])")
_TAG = re.compile(r"-[0-9a-f]{16}-[0-9]+(?=\.jsonl$)")  # of the job that the file belongs to alone


def local_filename(part_sha256: str) -> str:
    """Return the name of the JSONL file with this hash in the local folder of datasets."""
    return f"{part_sha256[:16]}.jsonl"


def remote_filename(part_sha256: str, *, converted_sha256: str | None = None, tag: str | None = None) -> str:
    """Return the file's name at a provider. It contains the hash, because providers store no checksum.

    `converted_sha256` is the hash of the bytes that are sent, where they are not the canonical ones. With `tag`, the
    file belongs to the job with this tag alone.
    """
    hashes = part_sha256[:16] + (f"_{converted_sha256[:16]}" if converted_sha256 else "")
    return f"orchestrator-{hashes}{_tag_ending(tag) if tag else '.jsonl'}"


def filename_has_tag(filename: str, tag: str) -> bool:
    """Return whether a file at a provider was uploaded for the job with this tag alone."""
    return filename.startswith("orchestrator-") and filename.endswith(_tag_ending(tag))


def is_remote_filename(filename: str | None, expected: str) -> bool:
    """Return whether a file at a provider has the name `expected`, which is given without a converted file's hash.

    Without a tag in `expected` the file may have one: an account's option decides that, and may have changed.
    """
    if filename is None:
        return False
    plain = _CONVERTED_HASH.sub("", filename, count=1)
    return expected in (filename, plain, _TAG.sub("", plain))


def short_tag(tag: str) -> str:
    """Return the tag of a job in characters that every provider allows in a name."""
    return tag.replace(".", "-")


def _tag_ending(tag: str) -> str:
    return f"-{short_tag(tag)}.jsonl"


class DatasetPart(Struct, frozen=True, kw_only=True):
    """One JSONL file of a dataset: the training part or the validation part."""

    path: Path  # on this machine
    sha256: str  # of the file's bytes
    bytes: int  # file size
    examples: int  # lines
    tokens: int | None  # training tokens of one epoch; None: unknown


class Dataset(Struct, frozen=True, kw_only=True):
    """The files that every account is trained with, byte-identical in all of them."""

    training: DatasetPart
    validation: DatasetPart | None = None

    @property
    def sha256(self) -> str:
        """The dataset's identity: the hash of the training part, combined with that of a validation part."""
        if self.validation is None:
            return self.training.sha256
        return sha256(f"{self.training.sha256}:{self.validation.sha256}".encode()).hexdigest()
