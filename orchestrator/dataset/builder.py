"""Builds the dataset: writes the accepted examples to files named by their hash.

Every machine writes the same bytes for the same chats, because the hash identifies the dataset in job ids. Files get
their name only when the whole build has succeeded, so that a file under its name is always complete.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.errors import DatasetError
from orchestrator.core.finding import Finding
from orchestrator.dataset.checker import DatasetChecker, ReadProgressCallback, check_validation_set
from orchestrator.dataset.example import create_finding
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import BuildResult, merge_results
from orchestrator.dataset.validation_set import line_key
from orchestrator.dataset.working_folder import create_working_folder
from orchestrator.system.private_files import create_private_folder, open_private_file


def build_dataset(
    path: Path,
    output_folder: Path,
    rules: DatasetRules | None = None,
    *,
    progress: ReadProgressCallback | None = None,
) -> BuildResult:
    """Check the chats at `path` and write them as canonical JSONL to `output_folder`.

    Each file is named by the first 16 hex digits of its SHA-256. Raises DatasetError with all errors of the chats;
    then nothing is written. Raises OSError when the folder cannot be written.
    """
    rules = rules or DatasetRules()
    checker = DatasetChecker(path, rules, progress)
    create_private_folder(output_folder)
    with create_working_folder(output_folder) as folder:
        # The split depends on the keys of all examples, so everything is written first and split in a second pass.
        all_examples = folder / "all"
        keys = _write_examples(checker, all_examples, rules.seed)
        result = checker.build_result()
        validation_set = _PartWriter(folder / "validation-set", output_folder)
        with validation_set:
            if rules.validation_path is not None:
                result = merge_results(result, check_validation_set(rules, keys, validation_set.write))
        if result.errors:
            raise _dataset_error(path, result.errors)
        chosen = _select_validation(keys, rules)
        training, split = _split_examples(all_examples, chosen, output_folder)
        if training.examples < rules.minimum_examples:
            raise _dataset_error(path, (_too_few_finding(path, training.examples, rules.minimum_examples),))
        tokens = checker.token_counter.totals(not is_validation for is_validation in chosen)
        validation = validation_set if rules.validation_path is not None else split if any(chosen) else None
        dataset = Dataset(
            training=training.save_part(_common_token_count(tokens)),
            validation=validation.save_part() if validation else None,
        )
    return BuildResult(dataset, tokens, result)


def _write_examples(checker: DatasetChecker, path: Path, seed: int) -> array[int]:
    """Write every accepted example, and return the key of each: its position in a shuffle by seed and content."""
    keys = array("Q")
    with open_private_file(path) as file:
        # In one process: a build runs beside the service, and its memory limit is for a single process.
        for line in checker.iter_lines(workers=1):
            keys.append(line_key(seed, line))
            file.write(line)
    return keys


def _select_validation(keys: array[int], rules: DatasetRules) -> bytearray:
    """Return 1 for each example of the validation split, 0 for the others.

    The order of selection depends only on the seed and the content, so an added chat hardly changes the split.
    Equal examples have equal keys, so they stay in the same part.
    """
    if not rules.validation_fraction:
        return bytearray(len(keys))
    distinct = sorted(set(keys))
    size = rules.validation_size(len(distinct))
    limit = distinct[size - 1] if size else -1
    return bytearray(key <= limit for key in keys)


def _split_examples(all_examples: Path, chosen: bytearray, output_folder: Path) -> tuple[_PartWriter, _PartWriter]:
    training, validation = (
        _PartWriter(all_examples.with_name("training"), output_folder),
        _PartWriter(all_examples.with_name("validation"), output_folder),
    )
    with all_examples.open("rb") as lines, training, validation:
        for is_validation, line in zip(chosen, lines, strict=True):
            (validation if is_validation else training).write(line)
    return training, validation


class _PartWriter:
    """Writes one part of the dataset to a temporary file, which `save_part` renames when it is complete."""

    def __init__(self, path: Path, output_folder: Path) -> None:
        self._path = path
        self._output_folder = output_folder
        self._file = open_private_file(path)
        self._digest = sha256()
        self._bytes = 0
        self.examples = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._file.flush()
        # Before the rename: after a power failure the final name must not lead to an empty file.
        os.fsync(self._file.fileno())
        self._file.close()

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self._digest.update(line)
        self._bytes += len(line)
        self.examples += 1

    def save_part(self, tokens: int | None = None) -> DatasetPart:
        digest = self._digest.hexdigest()
        target = self._output_folder / f"{digest[:16]}.jsonl"
        self._path.replace(target)
        return DatasetPart(path=target, sha256=digest, bytes=self._bytes, examples=self.examples, tokens=tokens)


def _common_token_count(tokens: Mapping[str, int | None]) -> int | None:
    """Return the token count if it is the same for every base model, else None."""
    counts = set(tokens.values())
    return counts.pop() if len(counts) == 1 else None


def _too_few_finding(path: Path, examples: int, needed: int) -> Finding:
    message = f"{examples} training examples remain after the validation split, at least {needed} are required"
    return create_finding(FindingCode.TOO_FEW_EXAMPLES, path.name, message)


def _dataset_error(path: Path, errors: tuple[Finding, ...]) -> DatasetError:
    first = errors[0]
    where = ":".join(str(part) for part in (first.file, first.line) if part is not None)
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return DatasetError(
        f"{path} cannot be used: {where}: {first.message}{more}",
        hint=first.hint if len(errors) == 1 else "Run `orchestrator check` to list every finding.",
        findings=errors,
    )
