"""What the contract of dispatch needs: a database with jobs, a dispatch on it, and someone to hand them to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import structlog
from machine_speed import scale_seconds
from sqlalchemy import update

from orchestrator.app import SystemClock
from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome, poll_again, sleep_until
from orchestrator.core.spec import TrainingSpec
from orchestrator.dispatch import wakeup_queue
from orchestrator.dispatch.base import Dispatcher, ServerLookup
from orchestrator.dispatch.embedded import EmbeddedDispatcher
from orchestrator.dispatch.pgqueuer import PgqueuerDispatcher
from orchestrator.dispatch.slot_allocator import single_server
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, jobs, outcomes, replicas, runs
from orchestrator.store.queries.replicas import Replica
from orchestrator.store.schema.tables import jobs as table

now = SystemClock().now
SPEC = TrainingSpec(base_model="sandbox-small", n_epochs=3)
DATASET = Dataset(training=DatasetPart(path=Path("d.jsonl"), sha256="a" * 64, bytes=1, examples=1, tokens=1))
REPLICA_TIMEOUT_SECONDS = 1.0  # a replica without a heartbeat for so long counts as dead
Step = Callable[[Job], Awaitable[Outcome | None]]


async def park_step(job: Job) -> Outcome:
    """What a job does that is finished for now."""
    return sleep_until(job, None)


class RecordingHandler:
    """Stands where the reconciler stands: does `step`, records what comes of it, and remembers."""

    def __init__(self, database: Database, step: Step = park_step) -> None:
        self._database = database
        self._step = step
        self._under_way: Counter[str] = Counter()
        self.handed: list[tuple[JobId, float]] = []
        self.most_at_once = 0
        self.most_on_an_account = 0

    async def __call__(self, job_id: JobId) -> None:
        async with self._database.read() as connection:
            loaded = await jobs.load(connection, job_id)
        assert loaded is not None
        account = loaded.job.account
        self.handed.append((job_id, now()))
        self._under_way[account] += 1
        self.most_at_once = max(self.most_at_once, self._under_way.total())
        self.most_on_an_account = max(self.most_on_an_account, self._under_way[account])
        try:
            outcome = await self._step(loaded.job)
        finally:
            self._under_way[account] -= 1
        if outcome is not None:
            at = now()
            await self._database.write(
                lambda tx: outcomes.record(tx, outcome, at=at, cause="test", caller_continues=True)
            )

    @property
    def ids(self) -> list[str]:
        """What was handed out, in order."""
        return [job_id for job_id, _ in self.handed]

    def was_handed(self, job_id: str) -> bool:
        return job_id in self.ids

    def times(self, job_id: str) -> list[float]:
        """When a job was handed out."""
        return [at for handed, at in self.handed if handed == job_id]


class DispatchBench:
    """One database and any number of replicas on it."""

    def __init__(self, url: str) -> None:
        self.distributed = url.startswith("postgresql")
        self.database = Database(url, wakeup_queue.build_wake_up_enqueuer(now) if self.distributed else None)
        self.database_without_notifications = Database(url)  # a process that tells no dispatch of its wake-ups
        self._numbers = iter(range(1000))

    async def open(self) -> None:
        await self.database.migrate()
        if self.distributed:
            await wakeup_queue.install(self.database)

    async def close(self) -> None:
        await self.database_without_notifications.close()
        await self.database.close()

    async def add(self, *wanted: Job, through: Database | None = None) -> None:
        """Jobs, with all that they refer to."""

        async def change(tx: Transaction) -> None:
            run = Run(
                id=RunId("run"),
                name="run",
                dataset_sha256=DATASET.sha256,
                specs={ProviderName.OPENAI: SPEC},
                created_at=now(),
            )
            await runs.save_dataset(tx, DATASET, now())
            await runs.save(tx, run)
            for name in {job.account for job in wanted} - set(await accounts.list_all(tx.connection)):
                await accounts.save(tx, standing(name))
            await jobs.assign_to_run(tx, run.id, wanted)

        await (through or self.database).write(change)

    async def wake_silently(self, job_id: str, at: float) -> None:
        """Make a job due, and tell nobody."""
        statement = update(table).where(table.c.id == job_id).values(wake_at=at)
        await self.database_without_notifications.write(lambda tx: tx.connection.execute(statement))

    async def create_dispatch(
        self, max_jobs: int = 10, name: str = "", server_of: ServerLookup = single_server
    ) -> Dispatcher:
        """A dispatch, of another replica each time; a replica that is alive as long as the test."""
        if not self.distributed:
            return EmbeddedDispatcher(self.database, now=now, max_in_flight=max_jobs, find_server=server_of)
        replica = name or f"replica-{next(self._numbers)}"
        await self.renew_replica(replica)
        return PgqueuerDispatcher(
            self.database,
            replica=replica,
            now=now,
            max_in_flight=max_jobs,
            replica_timeout_seconds=REPLICA_TIMEOUT_SECONDS,
            log=structlog.get_logger("orchestrator"),
            find_server=server_of,
        )

    async def renew_replica(self, replica: str, lasting: float = 60.0) -> None:
        sign = Replica(replica, "host", 1, now(), now(), now() + lasting)
        await self.database.write(lambda tx: replicas.save_heartbeat(tx, sign))


@contextlib.asynccontextmanager
async def running(dispatch: Dispatcher, handler: RecordingHandler) -> AsyncIterator[None]:
    """The dispatch at work, and stopped in the end. Its ticks tick four times a second."""

    async def tick() -> None:
        while isinstance(dispatch, PgqueuerDispatcher):
            await asyncio.sleep(0.25)
            await dispatch.rescue_lost()
            await dispatch.clear_log()

    work, ticks = asyncio.create_task(dispatch.run(handler)), asyncio.create_task(tick())
    try:
        yield
    finally:
        dispatch.stop()
        async with asyncio.timeout(scale_seconds(60)):
            await work
        ticks.cancel()
        await asyncio.wait([ticks])


async def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(scale_seconds(seconds)):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a database
            await asyncio.sleep(0.01)


def standing(name: str) -> AccountState:
    return AccountState(name=name, provider=ProviderName.OPENAI, definition="d", key_fingerprint="f")


def job(name: str, account: str = "", *, wake_in: float | None = 0.0) -> Job:
    at = now()
    return Job(
        id=JobId(name),
        run_id=RunId("run"),
        account=account or f"account-{name}",
        provider=ProviderName.OPENAI,
        base_model=SPEC.base_model,
        wake_at=None if wake_in is None else at + wake_in,
        created_at=at,
        state_since=at,
    )


def repeat_step(seconds: float, times: int) -> Step:
    """A step after which the job waits so long, so many times, and then rests."""
    done: Counter[str] = Counter()

    async def step(job: Job) -> Outcome:
        done[job.id] += 1
        return poll_again(job, now() + seconds) if done[job.id] < times else sleep_until(job, None)

    return step


def meeting_step(steps: int, seconds: float) -> Step:
    """A step that ends some time after so many steps were under way at once, or ten seconds later without them."""
    under_way, met = 0, asyncio.Event()

    async def step(job: Job) -> Outcome:
        nonlocal under_way
        under_way += 1
        if under_way >= steps:
            met.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(met.wait(), scale_seconds(10))
        met.set()  # the other steps need not wait as long
        await asyncio.sleep(seconds)
        under_way -= 1
        return sleep_until(job, None)

    return step


def slow_step(seconds: float) -> Step:
    """A step that takes its time."""

    async def step(job: Job) -> Outcome:
        await asyncio.sleep(seconds)
        return sleep_until(job, None)

    return step
