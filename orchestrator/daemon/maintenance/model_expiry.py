"""Checks once a day whether the fine-tuned models still exist and when they will be shut down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import date

from structlog.stdlib import BoundLogger

from orchestrator.aio import SingleFlight
from orchestrator.core.account import ProviderName
from orchestrator.core.clock import Clock
from orchestrator.core.errors import ConfigError, ProviderError
from orchestrator.core.jobs.job import Job
from orchestrator.core.notifications.notification import Notification, build_model_retirement_notification
from orchestrator.core.plans.retirement import BaseModels, find_due_notice_days
from orchestrator.core.remote import RemoteModel
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct, replace
from orchestrator.inputs.retirements import RetirementList
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, model_expiry, notifications

DAY_SECONDS = 24 * 3600.0
BATCH_SIZE = 200  # models in one call; the rest is checked by the next one
MAX_CONCURRENT_LOOKUPS = 8  # few, because these requests are never urgent


class _ModelLookup(Struct, frozen=True):
    """What the providers reported about a fine-tuned model."""

    exists: bool | None  # None: unknown, because the provider has no such request or did not respond
    retires_on: date | None  # the first date on which it or its base model is shut down; None: not announced


class ModelExpiryChecker:
    """Checks each finished model once a day. The result and its announcement are stored in the same transaction.

    `read_retirements` returns the published dates, which count where a provider's API reports none. It is called for
    every check, so that a corrected list needs no restart.
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
        """Check the models that were not checked for a day. Called by the scheduler."""
        async with self._database.read_long() as connection:  # slow: it reads every finished job of all runs
            due = await model_expiry.list_due_for_check(connection, self._clock.now() - DAY_SECONDS, BATCH_SIZE)
            states = await accounts.get_many(connection, {job.account for job in due})
        if not due:
            return
        # With the key of another organisation the models would seem to be gone.
        held = {name for name, state in states.items() if state.find_blocking_hold(self._clock.now()) is not None}
        slots = asyncio.Semaphore(MAX_CONCURRENT_LOOKUPS)
        base_models = _BaseModelCache(await self._load_retirements(), self._log)
        try:
            await asyncio.gather(*(self._check(job, slots, base_models, is_held=job.account in held) for job in due))
        finally:
            await base_models.close()

    async def _load_retirements(self) -> RetirementList:
        try:
            return await asyncio.to_thread(self._read_retirements)
        except ConfigError as error:  # without the list, the dates of the provider's API still count
            self._log.warning("retirements.load_failed", message=error.message, hint=error.hint)
            return RetirementList({})

    async def _check(
        self, job: Job, slots: asyncio.Semaphore, base_models: _BaseModelCache, *, is_held: bool
    ) -> None:
        async with slots:
            published = _ModelLookup(None, base_models.find_published_end(job))
            lookup = published if is_held else await self._look_up(job, base_models)
        notification = await self._save(job, lookup)
        if notification and notification.error:
            error = notification.error
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
        base, exists, dates = await base_models.find(connection, job.base_model), None, []
        if connection.provider.capabilities.has_model_lookup:
            exists, model = await _find_model(connection, job.fine_tuned_model or "", self._log)
            dates = [model.shutdown] if model and model.shutdown else []
        dates += [base.shutdown] if base and base.shutdown else []
        return _ModelLookup(exists, min(dates, default=published))

    async def _save(self, job: Job, lookup: _ModelLookup) -> Notification | None:
        now = self._clock.now()

        async def change(tx: Transaction) -> Notification | None:
            previous = await model_expiry.get_check(tx.connection, job.id)
            gone_at = previous.job.gone_at
            if lookup.exists is not None:
                gone_at = None if lookup.exists else gone_at or now
            checked = replace(previous.job, retires_on=lookup.retires_on or previous.job.retires_on, gone_at=gone_at)
            notice_days, notification = find_due_notice_days(checked, now), None
            announced_days = previous.announced_days
            # Each step of NOTICE_DAYS is announced once: only fewer days than at the last notice are news.
            if notice_days is not None and notice_days < _days_or_infinity(announced_days):
                notification, announced_days = build_model_retirement_notification(checked, now), notice_days
            if notification:
                await notifications.publish(tx, notification)
            await model_expiry.save_check(
                tx, job.id, at=now, retires_on=checked.retires_on, gone_at=gone_at, announced_days=announced_days
            )
            return notification

        return await self._database.write(change)


async def record_base_model_retirements(
    database: Database, specs: Mapping[ProviderName, TrainingSpec], models: BaseModels
) -> None:
    """Store the shutdown dates of the base models, which also end every model that was fine-tuned on them."""

    async def change(tx: Transaction) -> None:
        for provider, model in models:
            if model.shutdown:
                name = specs[provider].base_model
                await model_expiry.save_base_model_retirement(tx, provider, name, model.shutdown)

    await database.write(change)


class _BaseModelCache:
    """Requests each base model once per check, with the first account of its provider."""

    def __init__(self, published: RetirementList, log: BoundLogger) -> None:
        self._published = published
        self._log = log
        self._lookups = SingleFlight[tuple[str, str], RemoteModel | None](keep_results=True)

    def find_published_end(self, job: Job) -> date | None:
        """Return the last day of the job's base model in the published list, or None."""
        retirement = self._published.find(job.provider, job.base_model)
        return retirement.inference_ends if retirement else None

    async def find(self, connection: ProviderConnection, name: str) -> RemoteModel | None:
        async def look_up() -> RemoteModel | None:
            return (await _find_model(connection, name, self._log))[1]

        return await self._lookups.run((connection.account.provider, name), look_up)

    async def close(self) -> None:
        """Cancel lookups that nobody waits for, after the check was cancelled."""
        await self._lookups.close()


async def _find_model(
    connection: ProviderConnection, name: str, log: BoundLogger
) -> tuple[bool | None, RemoteModel | None]:
    """Return whether the provider has the model, or None after an error; and the model itself."""
    try:
        model = await connection.provider.find_model(name)
    except ProviderError as error:
        log.info("model.lookup_failed", account=connection.account.name, model=name, message=str(error))
        return None, None
    return model is not None, model


def _days_or_infinity(days: int | None) -> float:
    return float("inf") if days is None else days
