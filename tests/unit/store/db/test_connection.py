"""What is under way on a connection comes to its end, also when nobody waits for it any more."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.store.db.connection import shield_until_done


async def test_cancelled_caller_waits_for_its_database_work() -> None:
    may_end = asyncio.Event()
    work = asyncio.create_task(may_end.wait())
    waiting = asyncio.create_task(shield_until_done(work))
    await asyncio.sleep(0)
    waiting.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.result() is True
