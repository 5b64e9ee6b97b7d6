"""Chooses the probes of a comparison: held-out examples of the dataset, and the shipped behaviour probes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.comparison.behaviour_probes import list_behaviour_probes
from orchestrator.core.comparison.comparison import ComparisonSettings
from orchestrator.core.comparison.probe import (
    MIN_HELD_OUT_PROBES,
    Probe,
    choose_probes,
    list_prompt_ids,
    parse_probe,
)
from orchestrator.core.comparison.probe_file import parse_probe_file
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.errors import ConfigError, DatasetChanged


def load_probes(dataset: Dataset, settings: ComparisonSettings) -> tuple[Probe, ...]:
    """Return the probes of a comparison, the same ones for the same dataset and settings.

    Reads the files of the dataset, so call it in a thread. Raises ConfigError if the run has no held-out examples or
    too few, or if its own file of probes has problems, and DatasetChanged if a file is missing.
    """
    chosen = _choose_own_probes if settings.probes_file else _choose_held_out_probes
    return (*chosen(dataset, settings), *(list_behaviour_probes() if settings.behaviour_probes else ()))


def _choose_own_probes(dataset: Dataset, settings: ComparisonSettings) -> tuple[Probe, ...]:
    """Choose from the file of the operator's own probes."""
    path = Path(settings.probes_file or "")
    training = list_prompt_ids(_iter_lines(dataset.training))
    try:
        with path.open("rb") as file:
            probes = parse_probe_file(str(path), file, training_prompt_ids=training)
    except OSError as error:
        raise ConfigError(
            f"the file of probes {path} cannot be read: {error.strerror or error}",
            hint="Name a file of chats in JSONL with `probes_file` in [run.comparison] or --probes-file.",
        ) from error
    chosen = choose_probes(probes, settings.probes, seed=settings.seed)
    if len(chosen) < min(MIN_HELD_OUT_PROBES, settings.probes):
        raise ConfigError(
            f"{path} has {len(chosen)} probes; at least {min(MIN_HELD_OUT_PROBES, settings.probes)} are needed",
            hint="Add chats with reference answers to the file, or ask for fewer with --probes.",
        )
    return chosen


def _choose_held_out_probes(dataset: Dataset, settings: ComparisonSettings) -> tuple[Probe, ...]:
    if dataset.validation is None:
        raise ConfigError(
            "the run has no held-out examples to send to the models",
            hint="Set `validation_fraction` (for example 0.1) or `validation` in the run, and train again: examples "
            "that were trained with show nothing, because every model knows their answers. Or name a file of your "
            "own chats with `probes_file` in [run.comparison].",
        )
    training = list_prompt_ids(_iter_lines(dataset.training))
    candidates = [probe for line in _iter_lines(dataset.validation) if (probe := parse_probe(line)) is not None]
    chosen = choose_probes(candidates, settings.probes, seed=settings.seed, training_prompt_ids=training)
    if len(chosen) < min(MIN_HELD_OUT_PROBES, settings.probes):
        raise ConfigError(
            f"only {len(chosen)} of the {dataset.validation.examples} held-out examples can be asked (they need a "
            f"text answer, no tools, and a prompt that is not in the training file); at least "
            f"{min(MIN_HELD_OUT_PROBES, settings.probes)} are needed",
            hint="Hold out more examples with `validation_fraction`, or ask for fewer with --probes.",
        )
    return chosen


def _iter_lines(part: DatasetPart) -> Iterator[bytes]:
    if not _is_complete(part.path, part.bytes):
        raise DatasetChanged(f"the dataset's file {part.path} is missing or was changed")
    with part.path.open("rb") as file:
        yield from file


def _is_complete(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
