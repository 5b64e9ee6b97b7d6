"""Comparisons that the service runs: requested ones, those of killed processes, and one replica of two."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import structlog
from comparison_bench import ComparisonBench, KilledProcess, write_part
from sqlalchemy import select
from structlog.testing import capture_logs

from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import DatabaseUnavailable, DatasetChanged
from orchestrator.daemon.comparisons.comparison_result import ResultRequest
from orchestrator.daemon.comparisons.comparison_worker import MAX_FAILURES, ComparisonWorker
from orchestrator.metrics import MetricsRecorder
from orchestrator.status.metrics_snapshot import get_metrics_snapshot
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.schema.tables import announcements
from orchestrator.web.api.events import build_event

REQUESTS = 40 * (3 * 2 + 1)


def example(number: int) -> bytes:
    messages = [
        {"role": "user", "content": f"What is {number} plus {number + 3}?"},
        {"role": "assistant", "content": f"The sum of the numbers is {2 * number + 3}."},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> ComparisonBench:
    dataset = Dataset(
        training=write_part(tmp_path, range(20), example), validation=write_part(tmp_path, range(100, 180), example)
    )
    return ComparisonBench(database, dataset)


def create_worker(bench: ComparisonBench, owner: str, **options: Any) -> ComparisonWorker:
    async def load_probes(_: Comparison) -> dict[str, Probe]:
        return bench.probes

    runner_options = {name: options.pop(name) for name in ("compute",) if name in options}
    given: dict[str, Any] = {"load_probes": load_probes} | options
    return ComparisonWorker(
        bench.database,
        bench.create_runner(owner, **runner_options),
        now=lambda: bench.now,
        log=structlog.get_logger(),
        **given,
    )


async def find(bench: ComparisonBench, comparison: Comparison) -> Comparison:
    async with bench.database.read() as connection:
        found = await comparison_records.find(connection, comparison.id)
    assert found is not None
    return found


async def work_until_ended(bench: ComparisonBench, comparison: Comparison, *workers: ComparisonWorker) -> Comparison:
    async with asyncio.timeout(120):
        while (found := await find(bench, comparison)).state is ComparisonState.ASKING:
            for worker in workers:
                await worker.tick()
            await asyncio.sleep(0.01)
    await asyncio.gather(*(task for worker in workers for task in worker.active_tasks))
    return found


async def test_of_two_replicas_one_asks(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    with capture_logs() as log:
        ended = await work_until_ended(bench, comparison, create_worker(bench, "one"), create_worker(bench, "two"))
    assert ended.state is ComparisonState.FINISHED
    assert len(bench.sandbox.questions) == ended.requests == REQUESTS
    [finished] = [line for line in log if line["event"] == "comparison.finished"]
    assert (finished["comparison"], finished["requests"]) == (ended.id, REQUESTS)


async def test_comparison_of_a_killed_process_is_continued(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    bench.sandbox.kill_after = 150
    with pytest.raises(KilledProcess):
        await bench.run(comparison, owner="killed")
    bench.sandbox.kill_after = None
    worker = create_worker(bench, "two")
    await worker.tick()  # the claim of the killed process is still in force
    assert len(bench.sandbox.questions) == 150
    stored = {each.key for each in await bench.list_answers(comparison)}
    bench.sandbox.now += 1_000
    ended = await work_until_ended(bench, comparison, worker)
    assert ended.state is ComparisonState.FINISHED
    # A batch that was being committed at the kill may have been stored later.
    assert len(bench.sandbox.questions) - REQUESTS <= 150 - len(stored)


async def test_stopped_process_leaves_its_comparison_to_the_next_one_at_once(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    first = create_worker(bench, "one")
    bench.sandbox.pause_after = 100
    await first.tick()
    async with asyncio.timeout(60):
        await bench.sandbox.paused.wait()
    await first.stop()
    bench.sandbox.pause_after = None
    released = await find(bench, comparison)
    assert (released.state, released.claimed_by) == (ComparisonState.ASKING, None)
    asked = len(bench.sandbox.questions)
    stored = len(await bench.list_answers(comparison))
    assert stored >= asked - 12  # the calls in flight: four for each of the three models
    in_flight_usd = (released.spent_usd or 0.0) - bench.sandbox.count_usd()  # may be billed, and they are repeated
    assert in_flight_usd > 1e-4
    ended = await work_until_ended(bench, comparison, create_worker(bench, "two"))
    assert ended.state is ComparisonState.FINISHED
    counted = Counter((each.account, each.messages) for each in bench.sandbox.questions)
    assert sum(counted.values()) == REQUESTS + asked - stored


async def test_comparison_whose_dataset_is_missing_is_stopped_with_the_reason(bench: ComparisonBench) -> None:
    async def load_probes(_: Comparison) -> dict[str, Probe]:
        raise DatasetChanged("the dataset's file x.jsonl is missing or was changed")

    comparison = await bench.plan()
    ended = await work_until_ended(bench, comparison, create_worker(bench, "one", load_probes=load_probes))
    assert ended.state is ComparisonState.STOPPED
    assert "x.jsonl is missing" in (ended.message or "")
    assert bench.sandbox.questions == []


async def test_comparison_goes_on_when_the_database_was_away_as_its_probes_were_read(bench: ComparisonBench) -> None:
    outages = [DatabaseUnavailable("the database does not answer")]

    async def load_probes(_: Comparison) -> dict[str, Probe]:
        if outages:
            raise outages.pop()
        return bench.probes

    comparison = await bench.plan()
    ended = await work_until_ended(bench, comparison, create_worker(bench, "one", load_probes=load_probes))
    assert (ended.state, outages) == (ComparisonState.FINISHED, [])


async def test_defect_keeps_the_answers_and_does_not_fail_forever(bench: ComparisonBench) -> None:
    attempts = []

    async def compute(request: ResultRequest) -> dict[str, Any]:
        attempts.append(request)
        raise ZeroDivisionError("a defect")

    comparison = await bench.plan()
    worker = create_worker(bench, "one", compute=compute)
    async with asyncio.timeout(120):
        while (ended := await find(bench, comparison)).state is ComparisonState.ASKING:
            await worker.tick()
            await asyncio.sleep(0.01)
            if len(attempts) and ended.claimed_until is not None:
                bench.sandbox.now = max(bench.now, ended.claimed_until) + 1
    await worker.stop()
    assert len(attempts) == MAX_FAILURES
    assert ended.message == "internal error: ZeroDivisionError: a defect"
    assert len(bench.sandbox.questions) == REQUESTS


async def test_clock_that_disagrees_claims_nothing(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    await create_worker(bench, "one", clock_agrees=lambda: False).tick()
    await asyncio.sleep(0)
    assert (await find(bench, comparison)).claimed_by is None


async def test_end_is_announced_and_counted_and_no_text_of_an_answer_leaves(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    ended = await work_until_ended(bench, comparison, create_worker(bench, "one"))
    texts = {each.text for each in await bench.list_answers(comparison)}
    async with bench.database.read() as connection:
        announced = list(await connection.execute(select(announcements.c.topic, announcements.c.payload)))
        history = await events.list_after(connection, 0, limit=500)
    [payload] = [each.payload for each in announced if each.topic == "comparison.finished"]
    assert payload["data"]["comparison"] == comparison.id
    assert sum(payload["data"]["verdicts"].values()) == 3
    assert not any(text and text in json.dumps(payload) for text in texts)
    kinds = [build_event(each).kind for each in history if each.comparison_id == comparison.id]
    assert kinds == ["comparison", "comparison"]
    snapshot = await get_metrics_snapshot(bench.database, bench.now)
    assert snapshot.comparisons.counts == {ComparisonState.FINISHED: 1}
    assert snapshot.comparisons.requests == REQUESTS
    assert snapshot.comparisons.usd == pytest.approx(ended.total_usd)
    assert snapshot.compared_models == payload["data"]["verdicts"]
    page = MetricsRecorder("1").render(snapshot).decode()
    assert f"orchestrator_comparison_requests {REQUESTS}.0" in page
    assert 'orchestrator_comparisons{state="finished"} 1.0' in page
