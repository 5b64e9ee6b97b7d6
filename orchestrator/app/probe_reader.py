"""Reads the texts of a comparison's probes, which the database does not have: they are lines of the dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.core.comparison.behaviour_probes import list_behaviour_probes
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.probe import Probe, parse_probe
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
        own_file = comparison.settings.probes_file
        files = [Path(own_file)] if own_file else []
        files += [dataset.validation.path] if dataset.validation else []
        probes = await asyncio.to_thread(_read_probes, files, frozenset(comparison.probe_ids))
        if len(probes) == len(comparison.probe_ids):  # else the file may appear later
            while len(self._cache) >= MAX_CACHED_COMPARISONS:
                self._cache.pop(next(iter(self._cache)))
            self._cache[comparison.probe_set] = probes
        return probes


def _read_probes(files: Iterable[Path], probe_ids: Collection[str]) -> dict[str, Probe]:
    """Read the probes with these ids. Unlike for the choice of probes, the training file is not needed."""
    found = {probe.probe_id: probe for probe in list_behaviour_probes() if probe.probe_id in probe_ids}
    for path in files:
        with suppress(OSError), path.open("rb") as file:  # the file is on another machine, or was moved
            for line in file:
                if (probe := _parse_line(line)) is not None and probe.probe_id in probe_ids:
                    found[probe.probe_id] = probe
    return found


def _parse_line(line: bytes) -> Probe | None:
    """Parse a line; None if it is no probe. The operator's own file may have changed since the comparison."""
    try:
        return parse_probe(line)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return None
