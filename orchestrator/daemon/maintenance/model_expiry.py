"""Lifetimes: the daily look at finished models. Are they still there, and until when?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from structlog.stdlib import BoundLogger

from orchestrator.core.account import ProviderName
from orchestrator.core.clock import Clock
from orchestrator.core.errors import ConfigError, ProviderError
from orchestrator.core.jobs.job import Job
from orchestrator.core.notifications.notification import Notification, build_model_retirement_notification
from orchestrator.core.plans.retirement import BaseModels, find_due_notice_days
from orchestrator.core.remote import RemoteModel
from orchestrator.core.spec import TrainingSpec
from orchestrator.inputs.retirements import RetirementList
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import model_expiry, notifications

DAY_SECONDS = 24 * 3600.0
BATCH_SIZE = 200
MAX_CONCURRENT_LOOKUPS = 8  # looks of this kind are never urgent


@dataclass(frozen=True, slots=True)
class _ModelLookup:
    """What providers said of a model: whether it is there, and until when. None where they do not say."""

    exists: bool | None
    retires_on: date | None


class ModelExpiryChecker:
    """Looks at each finished model once a day; what is remembered is announced in the same change.

    `retirements` reads the published dates, which count where a provider's API tells none. It is called at every
    look, so that a corrected list needs no restart.
    """

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        read_retirements: Callable[[], RetirementList],
        clock: Clock,
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._connections = connections
        self._read_retirements = read_retirements
        self._clock = clock
        self._log = log

    async def check_due_models(self) -> None:
        """Look at those that are due. A tick."""
        async with self._database.read_long() as connection:  # every finished job there ever was
            due = await model_expiry.list_due_for_check(connection, self._clock.now() - DAY_SECONDS, BATCH_SIZE)
        if not due:
            return
        slots, shared = (
            asyncio.Semaphore(MAX_CONCURRENT_LOOKUPS),
            _BaseModelCache(await self._load_retirements(), self._log),
        )
        await asyncio.gather(*(self._check(job, slots, shared) for job in due))

    async def _load_retirements(self) -> RetirementList:
        try:
            return await asyncio.to_thread(self._read_retirements)
        except ConfigError as error:  # a broken list must not end the look at the models
            self._log.warning("retirements.load_failed", message=error.message, hint=error.hint)
            return RetirementList({})

    async def _check(self, job: Job, slots: asyncio.Semaphore, base_models: _BaseModelCache) -> None:
        async with slots:
            told = await self._look_up(job, base_models)
        news = await self._save(job, told)
        if news and news.error:
            error = news.error
            self._log.warning(
                "model.retiring",
                account=job.account,
                fine_tuned_model=job.fine_tuned_model,
                kind=error.kind,
                message=error.message,
                hint=error.hint,
            )

    async def _look_up(self, job: Job, base_models: _BaseModelCache) -> _ModelLookup:
        connection, published = self._connections.get(job.account), base_models.find_published_end(job)
        if connection is None:
            return _ModelLookup(None, published)
        base, there, days = await base_models.find(connection, job.base_model), None, []
        if connection.provider.capabilities.has_model_lookup:
            there, own = await _find_model(connection, job.fine_tuned_model or "", self._log)
            days = [own.shutdown] if own and own.shutdown else []
        days += [base.shutdown] if base and base.shutdown else []
        return _ModelLookup(there, min(days, default=published))

    async def _save(self, job: Job, lookup: _ModelLookup) -> Notification | None:
        now = self._clock.now()

        async def change(tx: Transaction) -> Notification | None:
            known = await model_expiry.get_check(tx.connection, job.id)
            gone_at = (
                known.job.gone_at if lookup.exists is None else None if lookup.exists else known.job.gone_at or now
            )
            seen = replace(known.job, retires_on=lookup.retires_on or known.job.retires_on, gone_at=gone_at)
            step = find_due_notice_days(seen, now)
            news = (
                build_model_retirement_notification(seen, now)
                if step is not None and step < _days_or_infinity(known.announced_days)
                else None
            )
            if news:
                await notifications.publish(tx, news)
            announced = step if news else known.announced_days
            await model_expiry.save_check(
                tx, job.id, at=now, retires_on=seen.retires_on, gone_at=gone_at, announced_days=announced
            )
            return news

        return await self._database.write(change)


async def record_base_model_retirements(
    database: Database, specs: Mapping[ProviderName, TrainingSpec], models: BaseModels
) -> None:
    """Remember until when the base models' providers have them, and so every model tuned on them."""

    async def change(tx: Transaction) -> None:
        for provider, model in models:
            if model.shutdown:
                name = specs[provider].base_model
                await model_expiry.save_base_model_retirement(tx, provider, name, model.shutdown)

    await database.write(change)


class _BaseModelCache:
    """Each base model is asked for once a look, of whichever account comes first."""

    def __init__(self, published: RetirementList, log: BoundLogger) -> None:
        self._published = published
        self._log = log
        self._lookups: dict[tuple[str, str], asyncio.Task[tuple[bool | None, RemoteModel | None]]] = {}

    def find_published_end(self, job: Job) -> date | None:
        """The last day of the job's base model as it was published; None where it was not."""
        known = self._published.find(job.provider, job.base_model)
        return known.inference_ends if known else None

    async def find(self, connection: ProviderConnection, name: str) -> RemoteModel | None:
        key = (connection.account.provider, name)
        if key not in self._lookups:
            self._lookups[key] = asyncio.create_task(_find_model(connection, name, self._log))
        return (await self._lookups[key])[1]


async def _find_model(
    connection: ProviderConnection, name: str, log: BoundLogger
) -> tuple[bool | None, RemoteModel | None]:
    """Whether the provider has the model, None when it does not answer; and what it says of it."""
    try:
        found = await connection.provider.find_model(name)
    except ProviderError as error:
        log.info("model.lookup_failed", account=connection.account.name, model=name, message=str(error))
        return None, None
    return found is not None, found


def _days_or_infinity(days: int | None) -> float:
    return float("inf") if days is None else days
