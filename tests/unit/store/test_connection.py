"""What is under way on a connection comes to its end, also when nobody waits for it any more."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.store.db.connection import shield_until_done


async def test_whoever_is_cancelled_leaves_when_the_work_is_done() -> None:
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
