"""The state of one sandbox: records, file contents, faults and counters. Every handler receives it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field

from orchestrator.sandbox.blob_store import BlobStore
from orchestrator.sandbox.fault_injector import FaultInjector
from orchestrator.sandbox.record_store import RecordStore, StateFile
from orchestrator.sandbox.records import SandboxFile, SandboxJob, SandboxUpload, SandboxUploadPart, SandboxVerdict
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.simulation.answer_behaviour import USUAL_BEHAVIOUR, AnswerBehaviour
from orchestrator.sandbox.simulation.job_timeline import Timeline, build_timelines


class RequestCounts(Struct):
    """Counters of requests since the start: outcomes, moderated inputs, and requests in flight."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Requests by (account, operation, outcome)."""
    moderated_inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Moderated inputs by (account, digest of the input)."""
    questions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Questions to models by (account, digest of the messages)."""
    current_in_flight: Counter[str] = field(default_factory=Counter)
    max_in_flight: Counter[str] = field(default_factory=Counter)
    """Highest number of requests in flight by account; the key "" counts all accounts together."""

    @contextmanager
    def in_flight(self, account: str) -> Iterator[None]:
        for name in (account, ""):
            self.current_in_flight[name] += 1
            self.max_in_flight[name] = max(self.max_in_flight[name], self.current_in_flight[name])
        try:
            yield
        finally:
            self.current_in_flight.subtract((account, ""))

    def clear(self) -> None:
        self.outcomes.clear()
        self.moderated_inputs.clear()
        self.questions.clear()
        self.max_in_flight.clear()


class SandboxState:
    """The state of one sandbox. `clock` returns epoch seconds."""

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
        self.answers = settings.answers
        self.counts = RequestCounts()
        self.webhook_url = settings.webhooks
        self.content_check_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by SHA-256
        self._timelines: dict[str, tuple[int, dict[str, Timeline]]] = {}

    def get_timelines(self, account: str) -> dict[str, Timeline]:
        """Return the timeline of each job of an account; cached until one of the jobs changes."""
        revision = self.jobs.revision[account]
        cached = self._timelines.get(account)
        if cached is None or cached[0] != revision:
            jobs = self.jobs.of(account).values()
            cached = revision, build_timelines(list(jobs), self.settings.max_running_jobs)
            self._timelines[account] = cached
        return cached[1]

    def count_unfinished_jobs(self, account: str, now: float) -> int:
        return sum(now < timeline.ended for timeline in self.get_timelines(account).values())

    def get_answer_behaviour(self, account: str) -> AnswerBehaviour:
        """Return how the models of an account answer."""
        return next((each for each in self.answers if each.matches(account)), USUAL_BEHAVIOUR)

    def clear(self) -> None:
        """Delete everything except the fault rules and the behaviour of the models."""
        for store in (self.files, self.verdicts, self.jobs, self.uploads, self.parts):
            store.clear()
        self.blobs.clear()
        self.counts.clear()

    def close(self) -> None:
        self._state_file.close()


def _blob_folder(state: Path | None) -> Path | None:
    return None if state is None else state.with_name(state.name + ".files")
