"""Building: good examples to files. Streaming, atomic, and the same bytes everywhere."""

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
    """Check the chats at `path` and write them as canonical JSONL into the folder `into`.

    Each file is named by the first 16 digits of its SHA-256; nothing is left there if anything is wrong. Raises
    DatasetError with every error that was found.
    """
    rules = rules or DatasetRules()
    check = DatasetChecker(path, rules, progress)
    create_private_folder(output_folder)
    with create_working_folder(output_folder) as folder:
        whole = folder / "whole"
        keys = _write_examples(check, whole, rules.seed)
        checked = check.build_result()
        own = _PartWriter(folder / "own", output_folder)
        with own:
            if rules.validation_path is not None:
                checked = merge_results(checked, check_validation_set(rules, keys, own.write))
        if checked.errors:
            raise _dataset_error(path, checked.errors)
        chosen = _select_validation(keys, rules)
        training, validation = _split_examples(whole, chosen, output_folder)
        if training.examples < rules.minimum_examples:
            raise _dataset_error(path, (_too_few_finding(path, training.examples, rules.minimum_examples),))
        tokens = check.token_counter.totals(not validating for validating in chosen)
        kept = own if rules.validation_path is not None else validation if any(chosen) else None
        dataset = Dataset(
            training=training.save_part(_common_token_count(tokens)), validation=kept.save_part() if kept else None
        )
    return BuildResult(dataset, tokens, checked)


def _write_examples(check: DatasetChecker, whole: Path, seed: int) -> array[int]:
    """Write every good example and return their keys: their places in a shuffle fixed by the seed and their bytes."""
    keys = array("Q")
    with open_private_file(whole) as file:
        for _, line in check.iter_accepted():
            keys.append(line_key(seed, line))
            file.write(line)
    return keys


def _select_validation(keys: array[int], rules: DatasetRules) -> bytearray:
    """1 for each example of the validation part. Equal examples have equal keys, so they stay together."""
    if not rules.validation_fraction:
        return bytearray(len(keys))
    distinct = sorted(set(keys))
    wanted = rules.validation_size(len(distinct))
    limit = distinct[wanted - 1] if wanted else -1
    return bytearray(key <= limit for key in keys)


def _split_examples(whole: Path, chosen: bytearray, output_folder: Path) -> tuple[_PartWriter, _PartWriter]:
    training, validation = (
        _PartWriter(whole.with_name("training"), output_folder),
        _PartWriter(whole.with_name("validation"), output_folder),
    )
    with whole.open("rb") as lines, training, validation:
        for validating, line in zip(chosen, lines, strict=True):
            (validation if validating else training).write(line)
    return training, validation


class _PartWriter:
    """One part in the making; it takes its name only when it is complete."""

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
    """The one count that holds for every base model, if there is one."""
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
