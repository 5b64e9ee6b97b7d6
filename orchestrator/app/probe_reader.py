"""Reads the texts of a comparison's probes, which the database does not have: they are lines of the dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from orchestrator.core.comparison.behaviour_probes import list_behaviour_probes
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.probe import Probe, parse_probe
from orchestrator.core.dataset import Dataset
from orchestrator.core.jobs.job import RunId
from orchestrator.store.db.database import Database
from orchestrator.store.queries import runs

MAX_CACHED_COMPARISONS: Final = 8


class ProbeReader:
    """Finds the probes of comparisons, and keeps those of the last ones."""

    def __init__(self, database: Database, dataset_folder: Path) -> None:
        self._database = database
        self._dataset_folder = dataset_folder
        self._cache: dict[str, Mapping[str, Probe]] = {}

    async def find_probes(self, comparison: Comparison) -> Mapping[str, Probe]:
        """Return the probes by id, without those whose text is not on this machine."""
        if (known := self._cache.get(comparison.probe_set)) is not None:
            return known
        async with self._database.read() as connection:
            run = await runs.get(connection, RunId(comparison.run_id))
            dataset = await runs.get_dataset(connection, run.dataset_sha256, self._dataset_folder)
        probes = await asyncio.to_thread(_read_probes, dataset, frozenset(comparison.probe_ids))
        if len(probes) == len(comparison.probe_ids):  # else the file may appear later
            while len(self._cache) >= MAX_CACHED_COMPARISONS:
                self._cache.pop(next(iter(self._cache)))
            self._cache[comparison.probe_set] = probes
        return probes


def _read_probes(dataset: Dataset, probe_ids: Collection[str]) -> dict[str, Probe]:
    """Read the probes with these ids. Unlike for the choice of probes, the training file is not needed."""
    found = {probe.probe_id: probe for probe in list_behaviour_probes() if probe.probe_id in probe_ids}
    if dataset.validation is None or not dataset.validation.path.is_file():
        return found
    with dataset.validation.path.open("rb") as file:
        for line in file:
            probe = parse_probe(line)
            if probe is not None and probe.probe_id in probe_ids:
                found[probe.probe_id] = probe
    return found
