"""All that one sandbox holds: its records, its bytes, its faults and what it counted. Handed to every handler."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.sandbox.blob_store import BlobStore
from orchestrator.sandbox.faults import FaultInjector
from orchestrator.sandbox.record_store import RecordStore, StateFile
from orchestrator.sandbox.records import SandboxFile, SandboxJob, SandboxUpload, SandboxUploadPart, SandboxVerdict
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.simulation.job_timeline import Timeline, build_timelines


@dataclass(slots=True)
class RequestCounts:
    """Requests since the start: how many, with which outcome, and how many at once."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(account, operation, outcome) → requests."""
    moderated_inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(account, digest of the input) → how often its moderation was asked for and answered."""
    current_in_flight: Counter[str] = field(default_factory=Counter)
    max_in_flight: Counter[str] = field(default_factory=Counter)
    """Most requests in flight, by account and, under "", of all."""

    @contextmanager
    def in_flight(self, account: str) -> Iterator[None]:
        for who in (account, ""):
            self.current_in_flight[who] += 1
            self.max_in_flight[who] = max(self.max_in_flight[who], self.current_in_flight[who])
        try:
            yield
        finally:
            self.current_in_flight.subtract((account, ""))

    def clear(self) -> None:
        self.outcomes.clear()
        self.moderated_inputs.clear()
        self.max_in_flight.clear()


class SandboxState:
    """The state of a sandbox and the ways to it. `clock` gives epoch seconds."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self._state_file = StateFile(settings.state)
        self.files = RecordStore(self._state_file, SandboxFile, kind="File")
        self.verdicts = RecordStore(self._state_file, SandboxVerdict, kind="Verdict")
        self.jobs = RecordStore(self._state_file, SandboxJob, kind="Job")
        self.uploads = RecordStore(self._state_file, SandboxUpload, kind="Upload")
        self.parts = RecordStore(self._state_file, SandboxUploadPart, kind="Part")
        self.blobs = BlobStore(_blob_folder(settings.state))
        self.faults = FaultInjector(settings.seed, settings.faults)
        self.counts = RequestCounts()
        self.webhook_url = settings.webhooks
        self.content_check_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._timelines: dict[str, tuple[int, dict[str, Timeline]]] = {}

    def get_timelines(self, account: str) -> dict[str, Timeline]:
        """The course of each of the account's jobs; worked out again only when one was changed."""
        revision = self.jobs.revision[account]
        known = self._timelines.get(account)
        if known is None or known[0] != revision:
            jobs = self.jobs.of(account).values()
            known = revision, build_timelines(list(jobs), self.settings.max_running_jobs)
            self._timelines[account] = known
        return known[1]

    def count_unfinished_jobs(self, account: str, now: float) -> int:
        return sum(now < timeline.ended for timeline in self.get_timelines(account).values())

    def clear(self) -> None:
        """Forget everything but the faults."""
        for shelf in (self.files, self.verdicts, self.jobs, self.uploads, self.parts):
            shelf.clear()
        self.blobs.clear()
        self.counts.clear()

    def close(self) -> None:
        self._state_file.close()


def _blob_folder(state: Path | None) -> Path | None:
    return None if state is None else state.with_name(state.name + ".files")
