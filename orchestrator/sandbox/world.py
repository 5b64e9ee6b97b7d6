"""All that one sandbox holds: its records, its bytes, its faults and what it counted. Handed to every handler."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.sandbox.blobs import Blobs
from orchestrator.sandbox.faults import FaultBook
from orchestrator.sandbox.records import File, Job, Part, Upload, Verdict
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.shelf import Database, Shelf
from orchestrator.sandbox.timeline import Timeline, schedule


@dataclass(slots=True)
class Counts:
    """Requests since the start: how many, with which outcome, and how many at once."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(account, operation, outcome) → requests."""
    judged: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(account, digest of the input) → how often its moderation was asked for and answered."""
    now: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    """Most requests in flight, by account and, under "", of all."""

    @contextmanager
    def in_flight(self, account: str) -> Iterator[None]:
        for who in (account, ""):
            self.now[who] += 1
            self.most[who] = max(self.most[who], self.now[who])
        try:
            yield
        finally:
            self.now.subtract((account, ""))

    def clear(self) -> None:
        self.outcomes.clear()
        self.judged.clear()
        self.most.clear()


class World:
    """The state of a sandbox and the ways to it. `clock` gives epoch seconds."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self._database = Database(settings.state)
        self.files = Shelf(self._database, File, kind="File")
        self.verdicts = Shelf(self._database, Verdict, kind="Verdict")
        self.jobs = Shelf(self._database, Job, kind="Job")
        self.uploads = Shelf(self._database, Upload, kind="Upload")
        self.parts = Shelf(self._database, Part, kind="Part")
        self.blobs = Blobs(_beside(settings.state))
        self.faults = FaultBook(settings.seed, settings.faults)
        self.counts = Counts()
        self.webhooks = settings.webhooks
        self.judging: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._timelines: dict[str, tuple[int, dict[str, Timeline]]] = {}

    def timelines(self, account: str) -> dict[str, Timeline]:
        """The course of each of the account's jobs; worked out again only when one was changed."""
        revision = self.jobs.revision[account]
        known = self._timelines.get(account)
        if known is None or known[0] != revision:
            jobs = self.jobs.of(account).values()
            known = revision, schedule(list(jobs), self.settings.max_running_jobs)
            self._timelines[account] = known
        return known[1]

    def unfinished_jobs(self, account: str, now: float) -> int:
        return sum(now < timeline.ended for timeline in self.timelines(account).values())

    def clear(self) -> None:
        """Forget everything but the faults."""
        for shelf in (self.files, self.verdicts, self.jobs, self.uploads, self.parts):
            shelf.clear()
        self.blobs.clear()
        self.counts.clear()

    def close(self) -> None:
        self._database.close()


def _beside(state: Path | None) -> Path | None:
    return None if state is None else state.with_name(state.name + ".files")
