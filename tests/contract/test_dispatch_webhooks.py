"""A webhook brings its job forward, whatever dispatches the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from dispatch_bench import DispatchBench, RecordingHandler, job, now, running, wait_until

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.provider_webhook import ProviderWebhook
from orchestrator.core.jobs.transitions import Outcome, poll_again
from orchestrator.core.structs import replace
from orchestrator.daemon.webhook_handler import WebhookHandler

SHORTEST = 5.0


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[DispatchBench]:
    bench = DispatchBench(database_url)
    await bench.open()
    yield bench
    await bench.close()


async def reschedule(job: Job) -> Outcome:
    """It is looked at, and nothing has happened yet."""
    await asyncio.sleep(0.05)
    return poll_again(job, now() + (SHORTEST if job.woken_by_webhook else 600.0))


def followed_job(name: str) -> Job:
    return replace(job(name, wake_in=600.0), state=JobState.RUNNING, remote_job_id=f"ftjob-{name}")


async def test_webhook_dispatches_the_job_before_its_next_poll(bench: DispatchBench) -> None:
    await bench.add(followed_job("a"), followed_job("b"))
    handler, dispatch = RecordingHandler(bench.database, reschedule), await bench.create_dispatch()
    ear = WebhookHandler(
        wake_dispatch=dispatch.wake, now=now, min_poll_seconds=SHORTEST, log=structlog.get_logger("orchestrator")
    )
    async with running(dispatch, handler):
        await ear.handle(bench.database, "account-a", ProviderWebhook(id="wh-1", remote_job_id="ftjob-a"))
        await wait_until(lambda: handler.was_handed("a"), seconds=20)
        await ear.handle(bench.database, "account-a", ProviderWebhook(id="wh-2", remote_job_id="ftjob-b"))
    assert handler.ids == ["a"]


async def test_burst_of_webhooks_causes_one_poll(bench: DispatchBench) -> None:
    await bench.add(followed_job("a"))
    handler, dispatch = RecordingHandler(bench.database, reschedule), await bench.create_dispatch()
    ear = WebhookHandler(
        wake_dispatch=dispatch.wake, now=now, min_poll_seconds=60.0, log=structlog.get_logger("orchestrator")
    )
    async with running(dispatch, handler):
        burst = [ProviderWebhook(id=f"wh-{number}", remote_job_id="ftjob-a") for number in range(300)]
        await asyncio.gather(*(ear.handle(bench.database, "account-a", webhook) for webhook in burst))
        await wait_until(lambda: handler.was_handed("a"), seconds=20)
        await asyncio.gather(*(ear.handle(bench.database, "account-a", webhook) for webhook in burst))
    assert handler.ids == ["a"]
