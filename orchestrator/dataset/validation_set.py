"""The operator's own validation set (`validation` in `[run]`), which is never used for training."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from orchestrator.core.finding import Finding
from orchestrator.core.structs import replace
from orchestrator.dataset.example import Example, create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.read.source_files import SourceFile
from orchestrator.dataset.rules import DatasetRules

# "validation.jsonl", "my-data_test.json", "dev/part.jsonl": a word between separators, but not between spaces, as in
# "a test of the brakes.json".
_SPLIT_NAME = re.compile(
    r"(?:^|[._/-])(?:validation|valid|val|test|dev|eval|holdout|heldout)(?=[._/-])", re.IGNORECASE
)


def build_validation_rules(rules: DatasetRules) -> DatasetRules:
    """Build the rules for the validation set itself: no minimum number of examples, and no split."""
    return replace(rules, minimum_examples=0, validation_fraction=0.0, validation_path=None)


def exclude_validation_files(sources: Iterable[SourceFile], validation_path: Path | None) -> list[SourceFile]:
    """Return the source files without those of the validation set, which may be in the same folder."""
    if validation_path is None:
        return list(sources)
    excluded = validation_path.resolve()
    return [source for source in sources if not source.path.resolve().is_relative_to(excluded)]


def line_key(seed: int, line: bytes) -> int:
    """Return a 64-bit hash that identifies a canonical line, and is its position in a shuffle by the seed."""
    return int.from_bytes(sha256(b"%d\n%s" % (seed, line)).digest()[:8], "big")


def find_overlap(example: Example, line: bytes, training_keys: Collection[int], seed: int) -> Finding | None:
    """Return an error if the validation example with this line is also in the training set (keys by `line_key`)."""
    if line_key(seed, line) not in training_keys:
        return None
    at, path = example.locate(())
    message = "the example is also in the training set"
    return create_finding(FindingCode.VALIDATION_OVERLAP, example.file, message, line=at or example.line, path=path)


def check_split_names(files: Collection[str]) -> Iterator[Finding]:
    """Yield a warning for each of several files whose name suggests a validation or test split."""
    for name in files if len(files) > 1 else ():
        if _SPLIT_NAME.search(name):
            message = "the file's name suggests a validation or test split, but it is used for training"
            yield create_finding(FindingCode.SPLIT_IN_TRAINING, name, message)
