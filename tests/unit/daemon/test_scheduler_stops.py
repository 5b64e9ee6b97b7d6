"""The scheduler's end."""

import asyncio
import logging

import pytest
import structlog

from orchestrator.daemon.scheduler import Scheduler


async def test_stopping_in_the_middle_of_a_call_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler(now=lambda: 0.0, log=structlog.get_logger("test"), unreachable=print)
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    scheduler.every(0.01, "slow", work)
    scheduler.start()
    await begun.wait()
    with caplog.at_level(logging.ERROR):
        scheduler.stop()
        for _ in range(5):
            await asyncio.sleep(0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
