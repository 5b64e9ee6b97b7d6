"""Work that concurrent callers share: one of them is cancelled, the work fails, the owner closes it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestrator.aio import Batcher, SingleFlight, StillRunning


class Gate:
    """Work that waits until `open` is set. Counts its calls and those that were cancelled."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls: list[object] = []
        self.cancelled = 0
        self.error: Exception | None = None

    async def pass_through(self, value: object) -> object:
        self.calls.append(value)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return value

    def __call__(self, value: object) -> Callable[[], Any]:
        return lambda: self.pass_through(value)


@pytest.fixture
def unhandled() -> list[dict[str, Any]]:
    """What asyncio reports as unhandled while the test runs."""
    return []


@pytest.fixture(autouse=True)
async def _collect_unhandled(unhandled: list[dict[str, Any]]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def start(*calls: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(call) for call in calls]


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


class TestSingleFlight:
    async def test_concurrent_callers_share_one_computation(self) -> None:
        gate, flight = Gate(), SingleFlight[str, object]()
        tasks = start(*(flight.run("a", gate(number)) for number in range(20)), flight.run("b", gate("b")))
        await settle()
        gate.open.set()
        assert await asyncio.gather(*tasks) == [0] * 20 + ["b"]
        assert gate.calls == [0, "b"]

    @pytest.mark.parametrize(("keep_results", "expected"), [(False, ["first", "second"]), (True, ["first", "first"])])
    async def test_result_is_kept_only_on_request(self, keep_results: bool, expected: list[str]) -> None:
        gate, flight = Gate(), SingleFlight[str, object](keep_results=keep_results)
        gate.open.set()
        assert [await flight.run("a", gate("first")), await flight.run("a", gate("second"))] == expected

    async def test_cancelled_caller_does_not_cancel_the_computation(self) -> None:
        gate, flight = Gate(), SingleFlight[str, object]()
        first, second = start(flight.run("a", gate(1)), flight.run("a", gate(2)))
        await settle()
        await cancel(first)
        gate.open.set()
        assert await second == 1
        assert (gate.calls, gate.cancelled) == ([1], 0)

    async def test_failure_reaches_every_caller_and_is_not_kept(self) -> None:
        gate, flight = Gate(), SingleFlight[str, object](keep_results=True)
        gate.error = FileNotFoundError("gone")
        tasks = start(*(flight.run("a", gate(number)) for number in range(3)))
        await settle()
        gate.open.set()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [FileNotFoundError] * 3
        gate.error = None
        assert await flight.run("a", gate("again")) == "again"

    async def test_failure_without_a_caller_is_not_reported(self, unhandled: list[dict[str, Any]]) -> None:
        gate, flight = Gate(), SingleFlight[str, object]()
        gate.error = ValueError("nobody waits")
        [only] = start(flight.run("a", gate(1)))
        await settle()
        await cancel(only)
        gate.open.set()
        await settle()
        del flight, only
        gate.error = None
        gc.collect()  # asyncio reports an error that was not retrieved when its task is deleted
        assert unhandled == []

    async def test_caller_that_stops_waiting_leaves_the_computation_running(self) -> None:
        gate, flight = Gate(), SingleFlight[str, object]()
        with pytest.raises(StillRunning):
            await flight.run("a", gate(1), max_wait_seconds=0)
        assert flight.is_running("a")
        [task] = start(flight.run("a", gate(2), max_wait_seconds=60))
        await settle()
        gate.open.set()
        assert await task == 1
        assert (flight.is_running("a"), gate.cancelled) == (False, 0)

    @pytest.mark.parametrize("fails", [False, True])
    async def test_caller_that_comes_when_the_computation_has_just_ended_starts_a_new_one(self, fails: bool) -> None:
        """A task has ended one turn of the event loop before its callbacks run, and a caller may come in between."""
        flight, ended = SingleFlight[str, str](), asyncio.Event()

        async def first() -> str:
            await asyncio.sleep(0)
            ended.set()  # what waits for it runs before the callbacks of this computation
            if fails:
                raise ValueError("broken")
            return "old"

        async def second() -> str:
            return "new"

        async def late() -> tuple[bool, str]:
            await ended.wait()
            return flight.is_running("a"), await flight.run("a", second)

        early, [caller] = start(flight.run("a", first)), start(late())
        assert await caller == (False, "new")
        await asyncio.wait(early)
        assert await flight.run("a", second) == "new"

    async def test_close_cancels_computations_and_callers(self) -> None:
        gate, flight = Gate(), SingleFlight[str, object]()
        tasks = start(flight.run("a", gate(1)), flight.run("b", gate(2)))
        await settle()
        await flight.close()
        assert gate.cancelled == 2
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        gate.open.set()
        assert await flight.run("a", gate(3)) == 3

    async def test_close_without_a_computation_returns(self) -> None:
        await SingleFlight[str, object]().close()


class TestBatcher:
    @pytest.fixture
    def gate(self) -> Gate:
        return Gate()

    @pytest.fixture
    def batcher(self, gate: Gate) -> Batcher[str, Sequence[str]]:
        async def process(keys: Sequence[str]) -> Sequence[str]:
            await gate.pass_through(list(keys))
            return list(keys)

        return Batcher(process)

    async def test_keys_that_arrive_during_a_call_go_into_the_next(self, gate: Gate, batcher: Any) -> None:
        tasks = start(batcher.submit("a"))
        await settle()
        tasks += start(batcher.submit("b"), batcher.submit("c"))
        await settle()
        gate.open.set()
        assert await asyncio.gather(*tasks) == [["a"], ["b", "c"], ["b", "c"]]
        assert gate.calls == [["a"], ["b", "c"]]

    async def test_cancelled_caller_does_not_cancel_the_call(self, gate: Gate, batcher: Any) -> None:
        first, second = start(batcher.submit("a"), batcher.submit("b"))
        await settle()
        await cancel(first)
        gate.open.set()
        assert await second == ["a", "b"]
        assert gate.cancelled == 0

    async def test_failure_reaches_every_caller_and_the_next_call_is_made(self, gate: Gate, batcher: Any) -> None:
        gate.error = ValueError("broken")
        tasks = start(batcher.submit("a"), batcher.submit("b"))
        await settle()
        gate.open.set()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [ValueError] * 2
        gate.error = None
        assert await batcher.submit("c") == ["c"]

    async def test_close_waits_for_all_submitted_keys(
        self, gate: Gate, batcher: Any, unhandled: list[dict[str, Any]]
    ) -> None:
        [first] = start(batcher.submit("a"))
        await settle()
        [second] = start(batcher.submit("b"))
        await settle()
        await cancel(first)
        [closing] = start(batcher.close())
        await settle()
        assert not closing.done()
        gate.open.set()
        await closing
        assert second.done()
        assert gate.calls == [["a"], ["b"]]
        await batcher.close()
        assert unhandled == []

    async def test_callers_of_a_cancelled_call_are_cancelled(self, gate: Gate, batcher: Any) -> None:
        tasks = start(batcher.submit("a"))
        await settle()
        tasks += start(batcher.submit("b"))
        await settle()
        [call] = [task for task in asyncio.all_tasks() if task.get_name() == "batch"]
        await cancel(call)
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        gate.open.set()
        assert await batcher.submit("c") == ["c"]
