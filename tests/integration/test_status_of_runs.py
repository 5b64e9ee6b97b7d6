"""The read model of several current runs: documents, metrics, pages and previews cover all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from run_values import a_plan, apply
from store_values import DATASET, NOW, RUN, a_job, fill, record

from orchestrator import control, status
from orchestrator.core.errors import ProviderError
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobEvent
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.jobs.transitions import advance, fail_job, hold_job
from orchestrator.core.structs import replace
from orchestrator.metrics.gauges import GaugeCollector
from orchestrator.status import StatusCache, StatusCacheConfig, get_status, status_to_dict
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs

TONE, FACTS, STYLE = a_plan("tone", 1), a_plan("facts", 2, priority=5), a_plan("style", 3, ["a"])
SCHEMA_1_KEYS = ["schema", "run", "counts", "settled", "replicas", "jobs", "problem"]
PATIENT = StatusCacheConfig(build_time_divisor=1, max_wait_seconds=30)


async def get_job(database: Database, run: RunId, account: str) -> Job:
    async with database.read() as connection:
        return next(job for job in await jobs.list_by_run(connection, run) if job.account == account)


async def read(cache: StatusCache, database: Database, run: str | None = None) -> Any:
    """Return the document of the cache, which must be that of the read model, in the same order of keys."""
    answer = await cache.read(database, None, NOW, run)
    expected = status_to_dict(await get_status(database, NOW, run_name=run))
    if answer is None:
        assert expected["run"] is None
        return None
    assert json.dumps(json.loads(answer.join())) == json.dumps(expected)
    return json.loads(answer.join())


async def test_document_of_several_runs_has_schema_2_with_a_section_for_each(database: Database) -> None:
    cache = StatusCache(PATIENT)
    await apply(database, TONE, FACTS, STYLE)
    document = await read(cache, database)
    assert list(document) == ["schema", "counts", "settled", "replicas", "runs", "problem"]
    assert document["schema"] == 2
    assert document["counts"] == {"planned": 5}
    shown = [(each["run"]["name"], each["priority"], len(each["jobs"])) for each in document["runs"]]
    assert shown[0] == ("facts", 5, 2), "the run with the highest priority is first"
    assert sorted(shown[1:]) == [("style", 0, 1), ("tone", 0, 2)]
    await record(database, advance(await get_job(database, STYLE.run_id, "a"), JobEvent.UPLOAD_STARTED, now=NOW))
    document = await read(cache, database)
    assert document["counts"] == {"planned": 4, "uploading": 1}
    assert {each["run"]["name"]: each["counts"] for each in document["runs"]}["style"] == {"uploading": 1}


@pytest.mark.parametrize("selected", ["tone", TONE.run_id])
async def test_selected_run_has_the_document_of_a_single_run(database: Database, selected: str) -> None:
    cache = StatusCache(PATIENT)
    await apply(database, TONE, FACTS)
    document = await read(cache, database, selected)
    assert list(document) == SCHEMA_1_KEYS
    assert (document["schema"], document["run"]["name"], len(document["jobs"])) == (1, "tone", 2)
    assert await read(cache, database, "no-such-run") is None
    await apply(database, FACTS)
    assert await read(cache, database, selected) is None, "the run is no longer current"


async def test_document_of_a_single_run_has_no_new_field(database: Database) -> None:
    await fill(database, [a_job("a")], replace(RUN, priority=7))
    document = await read(StatusCache(PATIENT), database)
    assert list(document) == SCHEMA_1_KEYS
    assert "priority" not in document["run"]
    assert "run" not in document["jobs"][0]
    assert document == await read(StatusCache(PATIENT), database, RUN.name)


async def test_gauges_sum_the_current_runs(database: Database) -> None:
    await apply(database, TONE, FACTS, STYLE)
    await record(
        database,
        hold_job(await get_job(database, FACTS.run_id, "a"), Hold(HoldKind.OVER_BUDGET, "Too much.", "Wait.")),
    )
    collector = GaugeCollector("1", "3")
    collector.snapshot = await status.get_metrics_snapshot(database, NOW)
    shown = {
        (family.name, *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }
    assert shown["orchestrator_jobs", "openai", "planned"] == 4
    assert shown["orchestrator_jobs", "openai", "held"] == 1
    assert shown["orchestrator_held_jobs", "over_budget"] == 1
    assert shown["orchestrator_planned_usd", "openai"] == 5.0
    assert DATASET.training.tokens is not None
    assert shown["orchestrator_planned_tokens", "openai"] == DATASET.training.tokens * (2 * 1 + 2 * 2 + 1 * 3)


async def test_overview_and_jobs_are_found_by_the_name_of_a_current_run(database: Database) -> None:
    await apply(database, TONE, FACTS)
    for run in ("tone", TONE.run_id):
        overview = await status.find_run_overview(database, NOW, run_id=run)
        listing = await status.list_jobs(database, JobFilter(), NOW, run_id=run)
        assert overview
        assert listing
        assert (overview.run.name, listing.run.name, listing.total) == ("tone", "tone", 2)
    first = await status.find_run_overview(database, NOW)
    assert first
    assert first.run.name == "facts", "without a name, the first by priority"
    await apply(database, FACTS)
    assert await status.find_run_overview(database, NOW, run_id="tone") is None
    assert await status.find_run_overview(database, NOW, run_id=TONE.run_id) is not None


async def test_preview_of_an_action_covers_all_runs_or_the_selected_one(database: Database) -> None:
    await apply(database, TONE, FACTS, STYLE)
    await record(database, fail_job(await get_job(database, TONE.run_id, "b"), ProviderError("bad"), now=NOW))
    retry = await status.preview_action(database, OperatorAction.RETRY, JobFilter(), NOW)
    assert retry.accounts == ("b",)
    assert (
        await status.preview_action(database, OperatorAction.RETRY, JobFilter(), NOW, run_name="facts")
    ).accounts == ()
    cancel = await status.preview_action(database, OperatorAction.CANCEL, JobFilter(), NOW, run_name="style")
    assert cancel.accounts == ("a",)


async def test_release_of_an_account_has_the_price_of_all_its_runs(database: Database) -> None:
    await apply(database, TONE, FACTS, STYLE)
    await control.hold_accounts(database, ["a"], reason="A break.", by="me", now=NOW)
    for run in (None, "style"):
        preview = await status.preview_action(database, OperatorAction.RELEASE, JobFilter(), NOW, run_name=run)
        assert (preview.accounts, preview.usd) == (("a",), 3.0), run


async def test_matrix_has_every_account_with_its_job_in_each_run(database: Database) -> None:
    await apply(database, TONE, FACTS, STYLE)
    await record(database, fail_job(await get_job(database, TONE.run_id, "b"), ProviderError("bad"), now=NOW))
    matrix = await status.get_run_matrix(database, JobFilter(), NOW, limit=10)
    assert matrix.run_ids[0] == FACTS.run_id
    assert (matrix.total, matrix.counts) == (2, {"planned": 4, "failed": 1})
    states = {
        row.account: {run: job and job.state for run, job in zip(matrix.run_ids, row.jobs, strict=True)}
        for row in matrix.rows
    }
    assert states == {
        "a": {FACTS.run_id: "planned", TONE.run_id: "planned", STYLE.run_id: "planned"},
        "b": {FACTS.run_id: "planned", TONE.run_id: "failed", STYLE.run_id: None},
    }
    failed = await status.get_run_matrix(database, JobFilter(state="failed"), NOW, limit=10)
    assert [(row.account, len(list(filter(None, row.jobs)))) for row in failed.rows] == [("b", 2)]
    assert failed.counts == matrix.counts
    second = await status.get_run_matrix(database, JobFilter(), NOW, limit=1, skip=1)
    assert ([row.account for row in second.rows], second.total) == (["b"], 2)
