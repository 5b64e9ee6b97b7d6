"""Lifetimes: the daily look at finished models. Are they still there, and until when?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from structlog.stdlib import BoundLogger

from orchestrator.core.account import ProviderName
from orchestrator.core.announcement import Announcement, of_life
from orchestrator.core.clock import Clock
from orchestrator.core.errors import ConfigError, ProviderError
from orchestrator.core.job import Job
from orchestrator.core.remote import RemoteModel
from orchestrator.core.retirement import Told, threshold
from orchestrator.core.spec import TrainingSpec
from orchestrator.dataset.retirements import Retirements
from orchestrator.providers.base import Connection
from orchestrator.store import announcements, lifetimes
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database

DAY = 24 * 3600.0
BATCH = 200
AT_ONCE = 8  # looks of this kind are never urgent


@dataclass(frozen=True, slots=True)
class _Answer:
    """What providers said of a model: whether it is there, and until when. None where they do not say."""

    there: bool | None
    shutdown: date | None


class Lifetimes:
    """Looks at each finished model once a day; what is remembered is announced in the same change.

    `retirements` reads the published dates, which count where a provider's API tells none. It is called at every
    look, so that a corrected list needs no restart.
    """

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, Connection],
        *,
        retirements: Callable[[], Retirements],
        clock: Clock,
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._connections = connections
        self._retirements = retirements
        self._clock = clock
        self._log = log

    async def look(self) -> None:
        """Look at those that are due. A tick."""
        async with self._database.survey() as connection:  # every finished job there ever was
            due = await lifetimes.due(connection, self._clock.now() - DAY, BATCH)
        if not due:
            return
        slots, shared = asyncio.Semaphore(AT_ONCE), _BaseModels(await self._published(), self._log)
        await asyncio.gather(*(self._look_at(job, slots, shared) for job in due))

    async def _published(self) -> Retirements:
        try:
            return await asyncio.to_thread(self._retirements)
        except ConfigError as error:  # a broken list must not end the look at the models
            self._log.warning("retirements.unreadable", message=error.message, hint=error.hint)
            return Retirements({})

    async def _look_at(self, job: Job, slots: asyncio.Semaphore, shared: _BaseModels) -> None:
        async with slots:
            told = await self._ask(job, shared)
        news = await self._remember(job, told)
        if news and news.error:
            error = news.error
            self._log.warning(
                news.topic.value,
                account=job.account,
                fine_tuned_model=job.fine_tuned_model,
                kind=error.kind,
                message=error.message,
                hint=error.hint,
            )

    async def _ask(self, job: Job, shared: _BaseModels) -> _Answer:
        connection, published = self._connections.get(job.account), shared.last_day(job)
        if connection is None:
            return _Answer(None, published)
        base, there, days = await shared.find(connection, job.base_model), None, []
        if connection.provider.capabilities.shows_models:
            there, own = await _find(connection, job.fine_tuned_model or "", self._log)
            days = [own.shutdown] if own and own.shutdown else []
        days += [base.shutdown] if base and base.shutdown else []
        return _Answer(there, min(days, default=published))

    async def _remember(self, job: Job, told: _Answer) -> Announcement | None:
        now = self._clock.now()

        async def change(connection: AsyncConnection) -> Announcement | None:
            known = await lifetimes.load(connection, job.id)
            gone_at = known.job.gone_at if told.there is None else None if told.there else known.job.gone_at or now
            seen = replace(known.job, retires_on=told.shutdown or known.job.retires_on, gone_at=gone_at)
            step = threshold(seen, now)
            news = of_life(seen, now) if step is not None and step < _or_ever(known.announced) else None
            if news:
                await announcements.announce(connection, news)
            announced = step if news else known.announced
            await lifetimes.save(
                connection, job.id, at=now, retires_on=seen.retires_on, gone_at=gone_at, announced=announced
            )
            return news

        return await self._database.write(change)


async def note(database: Database, specs: Mapping[ProviderName, TrainingSpec], told: Told) -> None:
    """Remember until when the base models' providers have them, and so every model tuned on them."""

    async def change(connection: AsyncConnection) -> None:
        for provider, model in told:
            if model.shutdown:
                name = specs[provider].base_model
                await lifetimes.base_model_retires(connection, provider, name, model.shutdown)

    await database.write(change)


class _BaseModels:
    """Each base model is asked for once a look, of whichever account comes first."""

    def __init__(self, published: Retirements, log: BoundLogger) -> None:
        self._published = published
        self._log = log
        self._asked: dict[tuple[str, str], asyncio.Task[tuple[bool | None, RemoteModel | None]]] = {}

    def last_day(self, job: Job) -> date | None:
        """The last day of the job's base model as it was published; None where it was not."""
        known = self._published.find(job.provider, job.base_model)
        return known.inference_ends if known else None

    async def find(self, connection: Connection, name: str) -> RemoteModel | None:
        key = (connection.account.provider, name)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(_find(connection, name, self._log))
        return (await self._asked[key])[1]


async def _find(connection: Connection, name: str, log: BoundLogger) -> tuple[bool | None, RemoteModel | None]:
    """Whether the provider has the model, None when it does not answer; and what it says of it."""
    try:
        found = await connection.provider.find_model(name)
    except ProviderError as error:
        log.info("model.not_asked", account=connection.account.name, model=name, message=str(error))
        return None, None
    return found is not None, found


def _or_ever(days: int | None) -> float:
    return float("inf") if days is None else days
