"""The child process that computes verdicts: the same result as in this process, and what happens when it dies."""

from __future__ import annotations

import asyncio
import sys

import pytest
from comparison_worlds import World, create_input

from orchestrator.core.comparison.document import ComparisonFacts
from orchestrator.daemon.comparisons import result_process
from orchestrator.daemon.comparisons.comparison_result import ResultRequest, compute_document
from orchestrator.daemon.comparisons.result_process import ResultProcessFailed, compute_in_process


@pytest.fixture
def request_of_world() -> ResultRequest:
    facts = ComparisonFacts(run_id="r", probe_set="0" * 64, probes=30, requests=180, usd=None)
    return ResultRequest(given=create_input(World(seed=1, accounts=3, probes=30)), facts=facts)


async def test_child_process_computes_the_same_document(request_of_world: ResultRequest) -> None:
    assert await compute_in_process(request_of_world) == compute_document(request_of_world)


async def test_child_process_that_dies_is_reported(
    request_of_world: ResultRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    monkeypatch.setattr(result_process, "RESULT_PROCESS_COMMAND", killed)
    with pytest.raises(ResultProcessFailed, match="ended with code -9"):
        await compute_in_process(request_of_world)


async def test_cancelled_computation_kills_the_child_process(
    request_of_world: ResultRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
    create = asyncio.create_subprocess_exec

    async def remember(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        process = await create(*arguments, **options)  # type: ignore[arg-type]
        created.put_nowait(process)
        return process

    monkeypatch.setattr(
        result_process, "RESULT_PROCESS_COMMAND", (sys.executable, "-c", "import time; time.sleep(600)")
    )
    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    computing = asyncio.create_task(compute_in_process(request_of_world))
    process = await asyncio.wait_for(created.get(), 60)
    computing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await computing
    assert process.returncode == -9
