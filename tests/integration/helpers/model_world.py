"""A world in which whatever can go wrong is somebody's choice: the clocks, the database's moments, the provider.

There is no event loop: coroutines of the program are moved by hand from one `pause` to the next. A crash is one that
is closed at a pause; a frozen replica is one that nobody moves while time goes by.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import cycle
from types import coroutine
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from orchestrator.core.account import AccountIdentity, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities, JobLookup
from orchestrator.core.dataset import filename_has_tag
from orchestrator.core.errors import (
    AuthenticationFailed,
    JobLimitReached,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.next_action import INTENT_GRACE_SECONDS
from orchestrator.core.remote import (
    RemoteEvent,
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
    RemoteModel,
)
from orchestrator.core.structs import replace
from orchestrator.daemon.provider_steps import MAX_CONSECUTIVE_404
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder
from orchestrator.providers.http.response_decoder import DECODE_ERRORS
from orchestrator.providers.openai.responses import JOB_LIST_DECODER
from orchestrator.sandbox.faults import MALFORMED_LISTS
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.group_commit import BatchChange
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import jobs
from orchestrator.store.schema.tables import metadata

T = TypeVar("T")
K = TypeVar("K")
Remote = TypeVar("Remote", RemoteFile, RemoteJob)
EPOCH = 1_700_000_000.0
ENDED = frozenset(
    {RemoteJobStatus.SUCCEEDED, RemoteJobStatus.FAILED, RemoteJobStatus.CANCELLED, RemoteJobStatus.STOPPED}
)


class CallFate(Enum):
    """What becomes of a call."""

    ANSWERED = "answered"
    LOST = "it happens; the answer never comes"
    LATE = "it happens after the caller stopped waiting, at the latest when the grace ends"
    DROPPED = "it never arrives, and the caller cannot know"
    UNSENT = "there is no connection: it was certainly not sent"
    LIMITED = "429"
    FULL = "too many running jobs"
    REJECTED = "400"
    FORBIDDEN = "401"
    MISSING = "404, although it is there"
    OTHER = "it happens; the answer is about somebody else's job on another file"
    MALFORMED = "200, but the body has an unexpected shape; a create happens"


@dataclass(frozen=True)
class WorldConditions:
    """A fate; and how long a thing that was created stays out of the lists: 0 is not at all, 1 as long as may be."""

    fate: CallFate = CallFate.ANSWERED
    lag: float = 0.0


FRIENDLY = WorldConditions()
REFUSALS: dict[CallFate, Callable[[], ProviderError]] = {
    CallFate.UNSENT: lambda: ProviderUnavailable("connection refused"),
    CallFate.LIMITED: lambda: RateLimited("slow down", retry_after=7.0),
    CallFate.FULL: lambda: JobLimitReached("too many running jobs"),
    CallFate.REJECTED: lambda: RequestRejected("400 no"),
    CallFate.FORBIDDEN: lambda: AuthenticationFailed("401 who are you"),
    CallFate.MISSING: lambda: RemoteNotFound("404 not here"),
}


class PausePoint(Enum):
    """Where a coroutine may be stopped, for a while or for ever."""

    READING = "before a call that may be repeated"
    CREATING = "before a call that creates something"
    BETWEEN = "anywhere else"


@coroutine
def pause(where: PausePoint = PausePoint.BETWEEN) -> Generator[PausePoint, WorldConditions, WorldConditions]:
    """Wait to be moved on. Before a call, its luck comes in here."""
    return (yield where)


class Worker:
    """A coroutine of the program, moved by hand."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self.result: Any = None
        self.done = False
        self.where = PausePoint.BETWEEN
        self._send(None)

    def step(self, luck: WorldConditions) -> None:
        """To the next pause."""
        self._send(luck)

    def finish(self, reads: Iterable[WorldConditions] = (), creates: Iterable[WorldConditions] = ()) -> None:
        """To the end. Every call of a kind meets with its next luck; when there is none left all is well."""
        coming = {PausePoint.READING: iter(reads), PausePoint.CREATING: iter(creates), PausePoint.BETWEEN: iter(())}
        while not self.done:
            self._send(next(coming[self.where], FRIENDLY))

    def crash(self) -> None:
        """As by `kill -9`."""
        self._work.close()
        self.done = True

    def _send(self, luck: WorldConditions | None) -> None:
        try:
            self.where = self._work.send(luck)
        except StopIteration as ended:
            self.done, self.result = True, ended.value


def complete(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that nothing disturbs."""
    worker = Worker(work)
    worker.finish()
    return cast(T, worker.result)


class ManualClock:
    """Both clocks of the machine. They also go on for whoever is frozen."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return EPOCH + self.seconds

    def boottime(self) -> float:
        return 100.0 + self.seconds


class _Connection(StoreConnection):
    """An asynchronous connection in name; the queries are the real ones."""

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self.sync_connection, *arguments)


class MemoryDatabase:
    """The real tables and queries on SQLite in memory. Before and after every commit is a moment to crash in.

    One for all examples: SQLAlchemy keeps what it compiled with the engine.
    """

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self._engine)
        self.commits = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[_Connection]:
        await pause()
        with self._engine.connect() as connection:
            yield _Connection(connection)

    async def load(self, job_id: JobId) -> jobs.LoadedJob | None:
        async with self.read() as connection:
            return await jobs.load(connection, job_id)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        await pause()
        with self._engine.begin() as connection:
            tx = Transaction(_Connection(connection))
            yield tx
            await tx.flush(None)
        self.commits += 1
        await pause()

    async def write(self, change: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self.transaction() as tx:
            return await change(tx)

    async def write_batched(
        self,
        change: BatchChange[K, T],
        item: K,
        *,
        deferrable: bool = False,
    ) -> T:
        [result] = await self.write(lambda tx: change(tx, [item]))
        return result

    def empty(self) -> None:
        with self._engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.commits += 1

    def close(self) -> None:
        self._engine.dispose()


@dataclass
class RemoteObject(Generic[Remote]):
    """A remote thing, what it is found by, and from when on the lists show it (boot time).

    One that is not `ours` was made by somebody else, or a person chose another in its place.
    """

    thing: Remote
    key: str
    shown_at: float
    ours: bool = True


class ModelWorld:
    """What the provider has: also what nobody knows of."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._coming: list[tuple[float, Callable[[float], None]]] = []
        self.files: list[RemoteObject[RemoteFile]] = []
        self.jobs: list[RemoteObject[RemoteJob]] = []
        self.misses = 0
        self._shapes = cycle(MALFORMED_LISTS.values())

    def apply_create(self, create: Callable[[float], None], luck: WorldConditions, deadline: Deadline) -> None:
        """Create, now or late. Whatever happens has happened, and is in the lists, before the grace is over."""
        now, latest = self._clock.boottime(), deadline.expires_at + INTENT_GRACE_SECONDS * 0.99
        shown_at = now + luck.lag * (latest - now)
        if luck.fate is CallFate.LATE:
            self._coming.append((shown_at, create))
        else:
            create(shown_at)

    def apply_pending(self, now: float) -> None:
        """Let happen what was only a matter of time."""
        due = [entry for entry in self._coming if entry[0] <= now]
        self._coming = [entry for entry in self._coming if entry[0] > now]
        for at, create in due:
            create(at)

    @property
    def expecting(self) -> bool:
        return bool(self._coming)

    def visible_objects(self, things: list[RemoteObject[Remote]]) -> list[RemoteObject[Remote]]:
        return [made for made in things if made.shown_at <= self._clock.boottime()]

    def miss(self) -> WorldConditions:
        """Reads lag, but not for ever: as often in a row as the program bears."""
        self.misses = (self.misses + 1) % (MAX_CONSECUTIVE_404 + 1)
        return WorldConditions(CallFate.MISSING) if self.misses else FRIENDLY

    def malformed_list(self) -> list[Any]:
        """What the program's own decoder makes of a list that is none: an error, or it would create again."""
        body = next(self._shapes)({"object": "list", "data": [], "has_more": False})
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            return list(JOB_LIST_DECODER.decode(content).data or [])
        except DECODE_ERRORS as error:
            raise ProviderUnavailable(f"the list cannot be read: {error}") from error

    def find(self, things: list[RemoteObject[Remote]], identity: str) -> RemoteObject[Remote]:
        for made in things:
            if made.thing.id == identity:
                return made
        raise RemoteNotFound(f"404 no such thing as {identity}")

    def add_file(self, dataset_file: DatasetFile) -> Callable[[float], None]:
        def create(shown_at: float) -> None:
            file = RemoteFile(id=f"file-{len(self.files)}", status=RemoteFileStatus.UPLOADED, raw_status="uploaded")
            self.files.append(RemoteObject(file, dataset_file.filename, shown_at))

        return create

    def add_job(self, order: JobOrder) -> Callable[[float], None]:
        def create(shown_at: float) -> None:
            job = RemoteJob(
                id=f"ftjob-{len(self.jobs)}",
                status=RemoteJobStatus.PENDING,
                raw_status="validating_files",
                training_file=order.training_file,
                base_model=order.spec.base_model,
            )
            self.jobs.append(RemoteObject(job, order.tag, shown_at))

        return create

    def copy_job(self, tag: str, order: JobOrder) -> None:
        """Somebody makes a job of his own and gives it our tag."""
        self.add_job(replace(order, tag=tag))(self._clock.boottime())
        self.jobs[-1].ours = False

    def select_job(self, tag: str, chosen: RemoteObject[RemoteJob]) -> None:
        """A person has chosen this one of those with the tag: the others are no longer the program's concern."""
        for made in self.jobs:
            if made.key == tag:
                made.ours = made is chosen

    def check_files(self, status: RemoteFileStatus) -> None:
        """The provider's own doing: whatever it was checking turns out to be this."""
        for made in self.files:
            if made.thing.status is RemoteFileStatus.UPLOADED:
                made.thing = replace(made.thing, status=status, raw_status=status.value)

    def change_job(
        self, made: RemoteObject[RemoteJob], status: RemoteJobStatus, fine_tuned_model: str | None = None
    ) -> None:
        """The provider's own doing. What has ended stays as it is, except that its model may be named."""
        job = made.thing
        model = fine_tuned_model if status is RemoteJobStatus.SUCCEEDED else None
        if job.status not in ENDED or (status is job.status and job.fine_tuned_model is None):
            made.thing = replace(job, status=status, raw_status=status.value, fine_tuned_model=model)

    def advance_jobs(self) -> None:
        """Everything one step nearer to a good end."""
        onwards = {
            RemoteJobStatus.PENDING: RemoteJobStatus.RUNNING,
            RemoteJobStatus.PAUSED: RemoteJobStatus.RUNNING,
            RemoteJobStatus.UNKNOWN: RemoteJobStatus.RUNNING,
            RemoteJobStatus.RUNNING: RemoteJobStatus.SUCCEEDED,
            RemoteJobStatus.CANCELLING: RemoteJobStatus.CANCELLED,
            RemoteJobStatus.SUCCEEDED: RemoteJobStatus.SUCCEEDED,
        }
        for made in self.jobs:
            if made.thing.status in onwards:
                after = onwards[made.thing.status]
                self.change_job(made, after, f"ft:{made.thing.id}")
        self.check_files(RemoteFileStatus.READY)


class WorldProvider:
    """One account's door to the world. Every call pauses twice: before it is sent, and before its answer is heard."""

    capabilities: Capabilities = CAPABILITIES[ProviderName.OPENAI]

    def __init__(self, world: ModelWorld) -> None:
        self._world = world

    async def verify(self) -> AccountIdentity:
        return await self._read(lambda: AccountIdentity(organization="org-1"))

    async def find_model(self, name: str) -> RemoteModel | None:
        return None

    async def list_models(self) -> list[str]:
        return []

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        def look() -> RemoteFile | None:
            named = [
                made.thing
                for made in self._world.visible_objects(self._world.files)
                if made.key == dataset_file.filename
            ]
            return next(
                (file for file in named if file.status in {RemoteFileStatus.UPLOADED, RemoteFileStatus.READY}), None
            )

        return await self._read(look, malformed=lambda: next(iter(self._world.malformed_list()), None))

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        return await self._create(self._world.files, self._world.add_file(dataset_file), deadline)

    async def get_file(self, file_id: str) -> RemoteFile:
        return await self._read(lambda: self._world.find(self._world.files, file_id).thing)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        return await self._read(
            lambda: [made.thing for made in self._world.visible_objects(self._world.jobs) if made.key == order.tag],
            malformed=self._world.malformed_list,
        )

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        return await self._create(self._world.jobs, self._world.add_job(order), deadline)

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return await self._read(lambda: self._world.find(self._world.jobs, remote_job_id).thing, may_miss=True)

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        def cancel() -> RemoteJob:
            made = self._world.find(self._world.jobs, remote_job_id)
            self._world.change_job(made, RemoteJobStatus.CANCELLING)
            return made.thing

        return await self._read(cancel)

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        return []

    async def checkpoints(self, remote_job_id: str) -> list[Checkpoint]:
        return []

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        return []

    async def delete_file(self, file_id: str) -> None:
        raise AssertionError("nobody asked for that")

    async def _read(
        self, look: Callable[[], T], *, may_miss: bool = False, malformed: Callable[[], T] | None = None
    ) -> T:
        """Also a cancel: whatever may be repeated. `malformed` is what becomes of a list that is none."""
        luck = await pause(PausePoint.READING)
        if luck.fate is CallFate.MISSING:
            luck = self._world.miss() if may_miss else FRIENDLY
        if luck.fate in REFUSALS:
            raise REFUSALS[luck.fate]()
        answer = None if luck.fate is CallFate.DROPPED else look()
        await pause()
        if luck.fate is CallFate.MALFORMED and malformed is not None:
            return malformed()
        if luck.fate in {CallFate.LOST, CallFate.LATE, CallFate.DROPPED, CallFate.MALFORMED}:
            raise ProviderUnavailable("the connection was cut, or the answer cannot be read")
        return answer  # type: ignore[return-value]

    async def _create(
        self, things: list[RemoteObject[Remote]], create: Callable[[float], None], deadline: Deadline
    ) -> Remote:
        luck = await pause(PausePoint.CREATING)  # the wait for a connection
        if deadline.seconds_left <= 0:
            raise ProviderUnavailable("the intent ended before the request was sent")
        if luck.fate in REFUSALS:
            raise REFUSALS[luck.fate]()
        if luck.fate is not CallFate.DROPPED:
            self._world.apply_create(create, luck, deadline)
        mine = things[-1] if luck.fate in {CallFate.ANSWERED, CallFate.OTHER} else None
        await pause()
        if mine is None or deadline.seconds_left <= 0:
            raise UnknownOutcome("the answer was lost")
        if luck.fate is CallFate.OTHER and isinstance(mine.thing, RemoteJob):
            return replace(mine.thing, id="ftjob-other", training_file="file-other")
        return mine.thing


class FileLookupProvider(WorldProvider):
    """A provider that shows of a remote job only its training file, which is uploaded for one job alone."""

    capabilities = replace(CAPABILITIES[ProviderName.OPENAI], job_lookup=JobLookup.TRAINING_FILE)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        def look() -> list[RemoteJob]:
            files = self._world.visible_objects(self._world.files)
            own = {made.thing.id for made in files if filename_has_tag(made.key, order.tag)} | {order.training_file}
            jobs = self._world.visible_objects(self._world.jobs)
            return [made.thing for made in jobs if made.thing.training_file in own]

        return await self._read(look, malformed=self._world.malformed_list)


class StrictLog:
    """Says nothing; what the program would only have logged as broken is an error here."""

    def info(self, event: str, **_: Any) -> None: ...

    warning = error = debug = info

    def log(self, level: int, event: str, **_: Any) -> None: ...

    def exception(self, event: str, **_: Any) -> None:
        raise AssertionError(event) from sys.exc_info()[1]
