from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from machine_speed import scale_seconds

from orchestrator.aio import SingleFlight


class Slow:
    """Counts how often it is asked, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = Event()

    def __call__(self, key: str) -> str:
        self.asked.append(key)
        self.may.wait(scale_seconds(60))
        return f"hash of {key}"


async def test_concurrent_callers_share_one_computation() -> None:
    slow = Slow()
    hashes = SingleFlight(slow)
    asking = [asyncio.create_task(hashes.get("a")) for _ in range(20)]
    await asyncio.sleep(0)
    slow.may.set()
    assert set(await asyncio.gather(*asking)) == {"hash of a"}
    assert await hashes.get("b") == "hash of b"
    assert await hashes.get("a") == "hash of a"
    assert slow.asked == ["a", "b"]


async def test_cancelled_caller_does_not_cancel_the_computation() -> None:
    slow = Slow()
    hashes = SingleFlight(slow)
    first, second = asyncio.create_task(hashes.get("a")), asyncio.create_task(hashes.get("a"))
    await asyncio.sleep(0)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    slow.may.set()
    assert await second == "hash of a"
    assert slow.asked == ["a"]


async def test_failure_is_raised_and_not_cached(tmp_path: Path) -> None:
    hashes: SingleFlight[Path] = SingleFlight(Path.read_text)
    with pytest.raises(FileNotFoundError):
        await hashes.get(tmp_path / "a")
    (tmp_path / "a").write_text("there now")
    assert await hashes.get(tmp_path / "a") == "there now"
