"""Deliveries reach every target at least once, even if a worker dies, and end after the last attempt."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest
from machine_speed import scale_seconds
from model_world import ManualClock, StrictLog
from sqlalchemy import text
from store_values import a_job, fill

from orchestrator import control, status
from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Channel, Delivery, DeliveryStatus, NotificationTarget
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.daemon.delivery_worker import CLAIM_SECONDS, DeliveryEndpoint, DeliveryWorker
from orchestrator.notify.base import OutgoingMessage
from orchestrator.store.db.database import Database
from orchestrator.store.queries import deliveries
from orchestrator.store.queries.notifications import publish

ALL_TOPICS = frozenset(Topic)


class RecordingSender:
    """A target that accepts every delivery, or fails with the message `refuses`; `before` is awaited first."""

    def __init__(self, name: str, topics: frozenset[Topic] = ALL_TOPICS) -> None:
        self.target = NotificationTarget(channel=Channel.WEBHOOK, url=name, secret="env:X", topics=topics)
        self.received: list[tuple[str, Topic]] = []
        self.refuses: str | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, delivery: OutgoingMessage, now: float) -> str | None:
        self.received.append((delivery.message, Topic(delivery.payload["type"])))
        await self.open.wait()
        return self.refuses

    @property
    def topics(self) -> list[str]:
        return sorted(topic for _, topic in self.received)


class DeliveryOffice:
    """Any number of couriers on one database, each a replica."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock()

    def worker(self, *listeners: RecordingSender) -> DeliveryWorker:
        addressees = {each.target.url: DeliveryEndpoint(each.target, each) for each in listeners}
        log = cast(Any, StrictLog())
        return DeliveryWorker(self.database, addressees, now=self.clock.now, jitter=lambda: 0.5, log=log)

    async def announce(self, *topics: Topic) -> None:
        for topic in topics:
            news = Notification(topic=topic, at=self.clock.now(), account="acme")
            await self.database.write(lambda tx, news=news: publish(tx, news))  # type: ignore[misc]

    async def rows(self, table: str) -> int:
        async with self.database.read() as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())

    async def listed(self) -> list[Delivery]:
        return list(await status.list_deliveries(self.database))


@pytest.fixture
async def office(database: Database) -> DeliveryOffice:
    await fill(database, [a_job("acme")])
    return DeliveryOffice(database)


async def settle(worker: DeliveryWorker) -> None:
    """A tick, and the end of all it began."""
    await worker.tick()
    while worker.active_tasks:
        await asyncio.wait(worker.active_tasks)


async def test_target_receives_each_subscribed_event_once(office: DeliveryOffice) -> None:
    one, all_ = RecordingSender("one", frozenset({Topic.JOB_FAILED})), RecordingSender("all")
    worker = office.worker(one, all_)
    await office.announce(Topic.MODEL_READY, Topic.JOB_FAILED)
    for _ in range(3):
        await settle(worker)
        office.clock.seconds += 1000
    assert (one.topics, all_.topics) == (["job.failed"], ["job.failed", "model.ready"])
    assert await office.rows("announcements") == 0
    assert {(d.attempts, d.due_at, d.error) for d in await office.listed()} == {(1, None, None)}


async def test_announcement_without_subscribers_is_deleted(office: DeliveryOffice) -> None:
    await office.announce(Topic.MODEL_READY)
    await settle(office.worker())
    assert [await office.rows(table) for table in ("announcements", "deliveries")] == [0, 0]


async def test_refused_delivery_is_retried_with_the_same_id_until_it_is_dead(office: DeliveryOffice) -> None:
    listener = RecordingSender("one")
    listener.refuses = "500: no"
    worker = office.worker(listener)
    await office.announce(Topic.MODEL_READY)
    for _ in range(40):
        await settle(worker)
        office.clock.seconds += 3600
    assert len(listener.received) == 8
    assert len(set(listener.received)) == 1
    [dead] = await status.list_deliveries(office.database, DeliveryStatus.FAILED)
    assert (dead.is_failed, dead.attempts, dead.error) == (True, 8, "500: no")

    listener.refuses = None
    begun = await control.redeliver(office.database, [dead.id], by="someone", now=office.clock.now())
    assert [delivery.id for delivery in begun] == [dead.id]
    await settle(worker)
    assert len(set(listener.received)) == 1
    assert await status.list_deliveries(office.database, DeliveryStatus.FAILED) == []


async def test_only_dead_deliveries_are_redelivered(office: DeliveryOffice) -> None:
    listener = RecordingSender("one")
    await office.announce(Topic.MODEL_READY)
    await settle(office.worker(listener))
    [arrived] = await office.listed()
    for ids in ([arrived.id], [arrived.id + 1]):
        with pytest.raises(ConfigError, match="no failed delivery has the id"):
            await control.redeliver(office.database, ids, by="someone", now=office.clock.now())
    assert await control.redeliver(office.database, None, by="someone", now=office.clock.now()) == []


async def test_slow_target_does_not_delay_other_targets(office: DeliveryOffice) -> None:
    slow, quick = RecordingSender("slow"), RecordingSender("quick")
    slow.open.clear()
    worker = office.worker(slow, quick)
    await office.announce(Topic.MODEL_READY)
    await worker.tick()
    await _wait_until(lambda: len(quick.received) == 1 and len(slow.received) == 1)
    await office.announce(Topic.JOB_FAILED)
    await worker.tick()
    await _wait_until(lambda: len(quick.received) == 2)
    assert len(slow.received) == 1
    slow.open.set()
    await settle(worker)
    assert slow.topics == ["job.failed", "model.ready"]


async def test_delivery_is_sent_by_one_replica_only(office: DeliveryOffice) -> None:
    listeners = [RecordingSender("one") for _ in range(3)]
    workers = [office.worker(listener) for listener in listeners]
    await office.announce(*[Topic.MODEL_READY] * 25)
    await asyncio.gather(*(settle(worker) for worker in workers))
    received = Counter(message for listener in listeners for message, _ in listener.received)
    assert len(received) == 25
    assert set(received.values()) == {1}


async def test_delivery_claimed_by_a_killed_replica_is_sent_by_another(office: DeliveryOffice) -> None:
    stuck, other = RecordingSender("one"), RecordingSender("one")
    stuck.open.clear()
    killed, alive = office.worker(stuck), office.worker(other)
    await office.announce(Topic.MODEL_READY)
    await killed.tick()
    await _wait_until(lambda: len(stuck.received) == 1)
    await settle(alive)
    assert other.received == [], "it may still arrive"
    office.clock.seconds += CLAIM_SECONDS
    await settle(alive)
    assert other.received == stuck.received, "the same id, so that the target can recognise it"

    stuck.refuses = "too late to matter"
    stuck.open.set()
    await settle(killed)
    [delivery] = await office.listed()
    assert (delivery.delivered_at is not None, delivery.error) == (True, None)


async def test_pending_deliveries_are_sent_at_shutdown(office: DeliveryOffice) -> None:
    quick, slow = RecordingSender("quick"), RecordingSender("slow")
    worker = office.worker(quick, slow)
    await office.announce(Topic.RUN_FINISHED)
    await worker.flush()
    assert (quick.topics, slow.topics) == (["run.finished"], ["run.finished"])
    assert not worker.active_tasks


async def test_delivery_for_an_unknown_target_expires(office: DeliveryOffice) -> None:
    await office.announce(Topic.MODEL_READY)
    known = RecordingSender("known")
    known.refuses = "500: no"
    await settle(office.worker(known))
    stranger = office.worker(RecordingSender("other"))
    office.clock.seconds += 3600
    await settle(stranger)
    assert (await office.listed())[0].due_at is not None
    office.clock.seconds += deliveries.UNKNOWN_TARGET_SECONDS
    await stranger.purge()
    [dead] = await status.list_deliveries(office.database, DeliveryStatus.FAILED)
    assert dead.error == "the target is no longer in the accounts file"


async def test_finished_deliveries_are_purged_after_their_retention(office: DeliveryOffice) -> None:
    listener = RecordingSender("one")
    worker = office.worker(listener)
    await office.announce(Topic.MODEL_READY)
    await settle(worker)
    office.clock.seconds += deliveries.DELIVERED_RETENTION_SECONDS - 1
    await worker.purge()
    assert await office.rows("deliveries") == 1
    office.clock.seconds += 2
    await worker.purge()
    assert await office.rows("deliveries") == 0


async def _wait_until(true: Any, seconds: float = 60.0) -> None:
    async with asyncio.timeout(scale_seconds(seconds)):
        while not true():  # noqa: ASYNC110 - what is waited for happens in a database
            await asyncio.sleep(0.01)
