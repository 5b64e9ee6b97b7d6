"""The daily check of fine-tuned models: what it stores, and that it announces each change once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
import structlog
from sqlalchemy import select
from store_values import NOW, RUN, a_job, a_standing, fill, read_job, save_standing

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.errors import ConfigError, ProviderUnavailable
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.plans.retirement import Retirement
from orchestrator.core.remote import RemoteModel
from orchestrator.daemon.maintenance.model_expiry import (
    DAY_SECONDS,
    ModelExpiryChecker,
    record_base_model_retirements,
)
from orchestrator.inputs.retirements import RetirementList
from orchestrator.providers.base import ProviderConnection
from orchestrator.status import get_status
from orchestrator.store.db.database import Database
from orchestrator.store.schema.tables import announcements

TODAY = datetime.fromtimestamp(NOW, UTC).date()
MODEL = "ft:acme"


@dataclass
class ModelShop:
    """A provider with a base model and a finished one."""

    shutdown: date | None = None
    models: set[str] = field(default_factory=lambda: {MODEL, "sandbox-small"})
    away: bool = False
    lookups: int = 0
    capabilities: Capabilities = CAPABILITIES[ProviderName.OPENAI]

    async def find_model(self, name: str) -> RemoteModel | None:
        self.lookups += 1
        if self.away:
            raise ProviderUnavailable("no answer", account="acme")
        return RemoteModel(id=name, shutdown=self.shutdown) if name in self.models else None


@dataclass
class ExpiryStage:
    """A clock and a shop, looked at day by day."""

    database: Database
    shop: ModelShop = field(default_factory=ModelShop)
    at: float = NOW
    published: RetirementList | ConfigError = field(default_factory=lambda: RetirementList({}))

    def retirements(self) -> RetirementList:
        if isinstance(self.published, ConfigError):
            raise self.published
        return self.published

    def now(self) -> float:
        return self.at

    boottime = now

    async def check(self, days: float = 0) -> list[tuple[str, str]]:
        """What has been announced after so many days more."""
        self.at += days * DAY_SECONDS + 1
        account = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY")
        connections = {"acme": ProviderConnection(account, "12345678", self.shop)}  # type: ignore[arg-type]
        log = structlog.get_logger()
        await ModelExpiryChecker(
            self.database, connections, read_retirements=self.retirements, clock=self, log=log
        ).check_due_models()
        async with self.database.read() as connection:
            rows = await connection.execute(
                select(announcements.c.topic, announcements.c.payload).order_by(announcements.c.at)
            )
            return [(topic, payload["data"]["error"]["message"]) for topic, payload in rows]


@pytest.fixture
async def days(database: Database) -> ExpiryStage:
    job = a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model=MODEL, servable=True, wake_at=None)
    await fill(database, [job, a_job("beta")])
    return ExpiryStage(database)


async def test_each_threshold_is_announced_once(days: ExpiryStage) -> None:
    days.shop.shutdown = TODAY + timedelta(days=200)
    assert await days.check() == []
    assert len(await days.check(30)) == 1
    assert len(await days.check(30)) == 1
    assert len(await days.check(115)) == 2
    assert len(await days.check(20)) == 3
    reported = await days.check(1)
    assert {topic for topic, _ in reported} == {"model.retiring"}
    assert [message.rpartition(", ")[2] for _, message in reported] == [
        "170 days from now",
        "25 days from now",
        "5 days from now",
    ]
    view = (await get_status(days.database, days.at)).jobs[0]
    assert (view.retires_on, view.days_left, view.gone_at) == ("1970-07-31", 4, None)


async def test_model_is_checked_once_a_day(days: ExpiryStage) -> None:
    await days.check()
    lookups = days.shop.lookups
    await days.check(0.5)
    assert days.shop.lookups == lookups == 2
    await days.check(0.6)
    assert days.shop.lookups == 2 * lookups


async def test_deleted_model_is_announced_once_and_may_reappear(days: ExpiryStage) -> None:
    days.shop.models.discard(MODEL)
    reported = await days.check()
    assert reported == await days.check(2)
    assert [message for _, message in reported] == [f"the fine-tuned model {MODEL} is no longer at the provider"]
    assert (await read_job(days.database, "acme")).gone_at == NOW + 1
    days.shop.models.add(MODEL)
    await days.check(2)
    assert (await read_job(days.database, "acme")).gone_at is None


async def test_failed_model_lookup_changes_nothing(days: ExpiryStage) -> None:
    days.shop.away = True
    assert await days.check() == []
    assert (await read_job(days.database, "acme")).gone_at is None


async def test_published_retirement_applies_until_the_provider_reports_one(days: ExpiryStage) -> None:
    known = Retirement(as_of=TODAY, source="a page", inference_ends=TODAY + timedelta(days=100))
    days.published = RetirementList({("openai", "sandbox-small"): known})
    ((_, message),) = await days.check()
    assert message.endswith("100 days from now")
    assert (await read_job(days.database, "acme")).retires_on == TODAY + timedelta(days=100)
    days.shop.shutdown = TODAY + timedelta(days=90)
    await days.check(2)
    assert (await read_job(days.database, "acme")).retires_on == TODAY + timedelta(days=90)


async def test_broken_retirement_list_does_not_stop_the_check(days: ExpiryStage) -> None:
    days.published = ConfigError("the list is not valid TOML", hint="Correct it.")
    days.shop.models.discard(MODEL)
    assert [message for _, message in await days.check()] == [
        f"the fine-tuned model {MODEL} is no longer at the provider"
    ]


async def test_retirement_of_the_base_model_is_known_before_training(days: ExpiryStage) -> None:
    last = TODAY + timedelta(days=52)
    reported = [(ProviderName.OPENAI, RemoteModel(id="sandbox-small", shutdown=last))]
    await record_base_model_retirements(days.database, RUN.specs, reported)
    before = await read_job(days.database, "beta")
    assert (before.retires_on, before.version) == (last, 1)


async def test_model_of_an_account_on_hold_is_not_looked_up(days: ExpiryStage) -> None:
    """With the key of another organisation, its models would seem to be gone. Published dates still count."""
    wrong_key = Hold("wrong_organization", "the key belongs to org-2", "Correct the key.")
    await save_standing(days.database, a_standing("acme", hold=wrong_key))
    days.shop.models.clear()
    assert await days.check() == []
    assert days.shop.lookups == 0
    assert (await read_job(days.database, "acme")).gone_at is None
    no_training = Hold("training_not_allowed", "the organisation may not train", "Ask for permission.")
    await save_standing(days.database, a_standing("acme", hold=no_training))
    await days.check(1)
    assert days.shop.lookups > 0, "its finished models still work"
    assert (await read_job(days.database, "acme")).gone_at is not None
