"""Datasets: the ordered examples as canonical JSONL. The SHA-256 of those bytes identifies a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path


def local_filename(part_sha256: str) -> str:
    """Return the name of the JSONL file with this hash in the local folder of datasets."""
    return f"{part_sha256[:16]}.jsonl"


def remote_filename(part_sha256: str) -> str:
    """Return the file's name at every provider. It contains the hash, because providers store no checksum."""
    return f"orchestrator-{local_filename(part_sha256)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPart:
    """One JSONL file of a dataset: the training part or the validation part."""

    path: Path  # on this machine
    sha256: str  # of the file's bytes
    bytes: int  # file size
    examples: int  # lines
    tokens: int | None  # training tokens of one epoch; None: unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The files that every account is trained with, byte-identical in all of them."""

    training: DatasetPart
    validation: DatasetPart | None = None

    @property
    def sha256(self) -> str:
        """The dataset's identity: the hash of the training part, combined with that of a validation part."""
        if self.validation is None:
            return self.training.sha256
        return sha256(f"{self.training.sha256}:{self.validation.sha256}".encode()).hexdigest()
