"""Dataset: the ordered examples as canonical JSONL; its identity is the SHA-256 of those bytes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path


def local_filename(part_sha256: str) -> str:
    """What the JSONL with this hash is called in the folder of datasets."""
    return f"{part_sha256[:16]}.jsonl"


def remote_filename(part_sha256: str) -> str:
    """What it is called at every provider: they keep no checksum, so the name carries it."""
    return f"orchestrator-{local_filename(part_sha256)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPart:
    """One JSONL file of the dataset: the training part or the validation part.

    `bytes` is its size; `tokens` counts the training tokens of one epoch, None where they are not known.
    """

    path: Path
    sha256: str
    bytes: int
    examples: int
    tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What every account is trained with: byte-identical everywhere."""

    training: DatasetPart
    validation: DatasetPart | None = None

    @property
    def sha256(self) -> str:
        """The identity: of the training bytes, and of the validation bytes where there are some."""
        if self.validation is None:
            return self.training.sha256
        return sha256(f"{self.training.sha256}:{self.validation.sha256}".encode()).hexdigest()
