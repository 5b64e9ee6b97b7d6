"""What `/status` answers is the read model, however it was built before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from store_values import NOW, RUN, a_job, a_standing, fill, id_of, record, save_standing
from stored_comparisons import store_comparison

from orchestrator.control.acceptances import accept_models, revoke_acceptances
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment, deployment_id
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import request_stop
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance, hold_job
from orchestrator.core.structs import replace
from orchestrator.status import JobView, StatusCache, StatusCacheConfig, get_status, status_to_dict
from orchestrator.status.cache import job_line_cache
from orchestrator.status.cache.job_line import JobLine, build_job_line
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import row_versions, runs
from orchestrator.store.queries.deployments import deployment_records

OPERATOR_HOLD = Hold("by_operator", "A holiday.", "Come back.")
JOBS = [
    a_job("planned"),
    a_job("running", state=JobState.RUNNING, remote_job_id="ftjob-1", estimated_finish=NOW + 100),
    a_job("finished", state=JobState.SUCCEEDED, fine_tuned_model="m-1", servable=False, wake_at=None),
    a_job("wörld 🌍", state=JobState.FAILED, failure=Failure("bad", 'It "broke".', "Mend it.\n")),
]

DEPLOYMENT = Deployment(
    id=deployment_id(id_of("finished"), 0),
    job_id=id_of("finished"),
    account="finished",
    provider=ProviderName.FIREWORKS,
    model="m-1",
    spec=DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=1),
    state=DeploymentState.READY,
    model_string="m-1#dep-1",
    base_url="https://call.example/v1",
    expires_at=NOW + 3600,
    created_at=NOW,
    state_since=NOW,
)

PATIENT = StatusCacheConfig(build_time_divisor=1, max_wait_seconds=30)
"""Builds as often as it is read, and waits for each build."""


async def read(document: StatusCache, database: Database, problem: Failure | None, now: float) -> bytes:
    answer = await document.read(database, problem, now)
    assert answer is not None
    return answer.join()


async def assert_matches_read_model(
    document: StatusCache, database: Database, now: float, problem: Failure | None = None
) -> bytes:
    answer = await read(document, database, problem, now)
    whole = status_to_dict(await get_status(database, now))
    assert json.dumps(json.loads(answer)) == json.dumps(whole | {"problem": None}), "1 is not 1.0"
    return answer


async def deploy(database: Database) -> None:
    await database.write(lambda tx: deployment_records.add(tx, [DEPLOYMENT], at=NOW, cause="me"))


async def stop(database: Database) -> None:
    await deploy(database)
    stopped = request_stop(DEPLOYMENT, now=NOW)
    await database.write(lambda tx: deployment_records.record(tx, stopped, at=NOW, cause="me"))


async def compare(database: Database) -> None:
    await store_comparison(database, "c1", {"finished": "different"}, {"finished": "m-1"})


async def accept(database: Database) -> None:
    await accept_models(database, ["finished"], reason="tested", by="me", now=NOW)


async def test_document_follows_verdicts_and_acceptances(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build_line(view: JobView, *arguments: Any) -> JobLine:
        built.append(view.account)
        return build_job_line(view, *arguments)

    monkeypatch.setattr(job_line_cache, "build_job_line", build_line)
    document = StatusCache(PATIENT)
    await fill(database, JOBS)
    seen = [await assert_matches_read_model(document, database, NOW)]
    assert len(built) == len(JOBS)
    built.clear()
    await compare(database)
    seen.append(await assert_matches_read_model(document, database, NOW))
    await accept(database)
    seen.append(await assert_matches_read_model(document, database, NOW))
    await revoke_acceptances(database, ["finished"], by="me", now=NOW)
    seen.append(await assert_matches_read_model(document, database, NOW))
    assert built == ["finished"] * 3, "only the lines of compared or accepted models are built again"
    await store_comparison(database, "c2", {"running": "alike"}, {"running": "m-2"}, NOW + 1)
    await assert_matches_read_model(document, database, NOW)
    assert sorted(built[3:]) == ["finished", "running"], "the earlier verdict has gone"
    jobs = [next(each for each in json.loads(text)["jobs"] if each["account"] == "finished") for text in seen]
    compared, accepted = jobs[1]["comparison"], jobs[2]["comparison"]
    assert jobs[0]["comparison"] is None
    assert (compared["verdict"], compared["comparison"], compared["accepted_by"]) == ("different", "c1", None)
    assert (accepted["verdict"], accepted["accepted_by"], accepted["accepted_reason"]) == (
        "different",
        "me",
        "tested",
    )
    assert jobs[3]["comparison"] == compared


Change = Callable[[Database], Any]
CHANGES: dict[str, Change] = {
    "a step": lambda database: record(database, advance(JOBS[0], JobEvent.UPLOAD_STARTED, now=NOW)),
    "a held job": lambda database: record(database, hold_job(JOBS[0], OPERATOR_HOLD)),
    "a held account": lambda database: save_standing(database, a_standing("planned", hold=OPERATOR_HOLD)),
    "an account taken out": lambda database: save_standing(database, a_standing("planned", removed_at=NOW)),
    "a label": lambda database: save_standing(database, a_standing("running", labels=("eu",))),
    "a run that is held": lambda database: database.write(lambda tx: runs.save(tx, replace(RUN, hold=OPERATOR_HOLD))),
    "a gate": lambda database: database.write(lambda tx: runs.save(tx, replace(RUN, gate=True))),
    "a comparison": compare,
    "an acceptance": accept,
    "a deployment": deploy,
    "a deployment that is stopped": stop,
    "a job more": lambda database: fill(database, [*JOBS, a_job("new")]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_document_matches_the_read_model_after_a_change(database: Database, change: Change) -> None:
    document = StatusCache(PATIENT)
    await fill(database, JOBS)
    before = await assert_matches_read_model(document, database, NOW)
    await change(database)
    assert await assert_matches_read_model(document, database, NOW) != before


async def test_unchanged_status_returns_the_cached_document(database: Database) -> None:
    document = StatusCache(PATIENT)
    await fill(database, JOBS)
    before = await document.read(database, None, NOW)
    if database.is_sqlite:  # PostgreSQL's mark counts what others do in the same server
        assert await document.read(database, None, NOW + 1) is before


async def test_time_dependent_values_are_refreshed(database: Database) -> None:
    document = StatusCache(PATIENT)
    await fill(database, JOBS)
    before = await assert_matches_read_model(document, database, NOW)
    assert await assert_matches_read_model(document, database, NOW + PATIENT.max_age_seconds) != before


async def test_ended_holds_are_refreshed_a_part_at_a_time(database: Database) -> None:
    held = [a_job(name, hold=Hold("busy", "Wait.", "Wait.", until=NOW + 5)) for name in ("a", "b", "c")]
    document, later = StatusCache(replace(PATIENT, max_aged_lines_per_build=1)), NOW + PATIENT.max_age_seconds
    await fill(database, held)
    known = await assert_matches_read_model(document, database, NOW)
    for _ in held:
        before, known = known, await read(document, database, None, later)
        assert before != known
    assert await assert_matches_read_model(document, database, later) == known


@pytest.mark.parametrize("seconds", [15.0, 3600.0, 86_400.0 * 40, -86_400.0])
async def test_document_follows_the_clock_without_a_change(database: Database, seconds: float) -> None:
    jobs = [
        *JOBS,
        a_job("retires", state=JobState.SUCCEEDED, fine_tuned_model="m-2", retires_on=date(1970, 1, 30)),
        a_job("tricky", state=JobState.RUNNING, estimated_finish=NOW + 90, hyperparameters={"days_left": 1}),
        a_job("tomorrow", state=JobState.SUCCEEDED, fine_tuned_model="m-3", retires_on=date(1970, 1, 13)),
        a_job("waits", hold=Hold("busy", "Wait.", "Wait.", until=NOW + 10)),
    ]
    document = StatusCache(PATIENT)
    await fill(database, jobs)
    await save_standing(database, a_standing("tricky", labels=('"progress":1,', '"days_left":1,')))
    before = await assert_matches_read_model(document, database, NOW)
    assert await assert_matches_read_model(document, database, NOW + seconds) != before
    assert await assert_matches_read_model(document, database, NOW) == before


async def test_document_has_the_jobs_of_all_pages_of_row_versions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_versions, "ROWS_PER_PAGE", 2)
    for count in (2, 3, 4, 5):
        document = StatusCache(PATIENT)
        await fill(database, [a_job(f"a{number}") for number in range(count)])
        answer = json.loads(await assert_matches_read_model(document, database, NOW))
        assert [job["account"] for job in answer["jobs"]] == [f"a{number}" for number in range(count)]


async def test_passing_time_causes_no_query_over_the_jobs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = StatusCache(PATIENT)
    await fill(database, JOBS)
    before = await read(document, database, None, NOW)
    monkeypatch.setattr(database, "read_long", None)
    if database.is_sqlite:  # PostgreSQL's mark counts what others do in the same server
        assert await read(document, database, None, NOW + PATIENT.max_age_seconds) != before


async def test_document_without_a_run_carries_the_problem(database: Database) -> None:
    answer = json.loads(await read(StatusCache(PATIENT), database, Failure("config", "Line 3.", "Mend it."), NOW))
    assert answer["run"] is None
    assert answer["problem"] == {"kind": "config", "message": "Line 3.", "hint": "Mend it.", "request_id": None}


async def test_cached_document_is_served_during_a_rebuild(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = replace(PATIENT, max_wait_seconds=0.01, max_staleness_seconds=1000)
    document, get_data_version, gate = StatusCache(impatient), database.get_data_version, asyncio.Event()

    async def get_later() -> object:
        await gate.wait()
        return await get_data_version()

    await fill(database, JOBS)
    before = await assert_matches_read_model(document, database, NOW)
    await CHANGES["a step"](database)
    monkeypatch.setattr(database, "get_data_version", get_later)
    assert await read(document, database, None, NOW) == before
    gate.set()
    async with asyncio.timeout(60):
        while await read(document, database, None, NOW) == before:
            pass  # each read waits for the build a little
    await assert_matches_read_model(document, database, NOW)


async def test_stale_document_is_not_served(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = replace(PATIENT, max_wait_seconds=0, max_staleness_seconds=0, max_slow_staleness_seconds=0)
    document, get_data_version = StatusCache(impatient), database.get_data_version

    async def get_slowly() -> object:
        await asyncio.sleep(0.05)
        return await get_data_version()

    await fill(database, JOBS)
    before = await assert_matches_read_model(document, database, NOW)
    await CHANGES["a step"](database)
    monkeypatch.setattr(database, "get_data_version", get_slowly)
    assert await assert_matches_read_model(document, database, NOW) != before


async def test_document_that_took_long_is_served_during_the_next_build(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = replace(PATIENT, max_wait_seconds=0, max_staleness_seconds=0, max_slow_staleness_seconds=1000)
    document, list_by_run, gate = StatusCache(impatient), row_versions.list_by_run, asyncio.Event()

    async def list_slowly(connection: StoreConnection, run_id: RunId) -> list[str]:
        await asyncio.sleep(2)
        return await list_by_run(connection, run_id)

    async def list_later(connection: StoreConnection, run_id: RunId) -> list[str]:
        await gate.wait()
        return await list_by_run(connection, run_id)

    await fill(database, JOBS)
    monkeypatch.setattr(row_versions, "list_by_run", list_slowly)
    before = await read(document, database, None, NOW)
    monkeypatch.setattr(row_versions, "list_by_run", list_later)
    await CHANGES["a step"](database)
    async with asyncio.timeout(60):
        assert await read(document, database, None, NOW) == before
        gate.set()
        while await read(document, database, None, NOW) == before:
            pass  # the build gets a turn with each read
    await document._builds.close()  # the last read has begun another one, with a connection to the database


async def test_build_error_is_raised_to_every_reader(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> object:
        raise OSError("no database")

    document = StatusCache(PATIENT)
    await fill(database, JOBS)
    before = await assert_matches_read_model(document, database, NOW)
    monkeypatch.setattr(database, "get_data_version", away)
    for _ in range(2):
        with pytest.raises(OSError, match="no database"):
            await read(document, database, None, NOW)
    monkeypatch.undo()
    assert await read(document, database, None, NOW) == before


async def test_accounts_sharing_a_key_are_a_warning_of_the_run(database: Database) -> None:
    await fill(database, [a_job(name) for name in ("a", "b", "c")])
    for name, fingerprint in (("a", "1111aaaa"), ("b", "1111aaaa"), ("c", "2222bbbb")):
        await save_standing(database, a_standing(name, definition=fingerprint, key_fingerprint=fingerprint))
    answer = json.loads(await assert_matches_read_model(StatusCache(PATIENT), database, NOW))
    assert answer["run"]["warnings"] == [
        "a, b have the same key (1111aaaa): each is trained and paid for, in one account"
    ]
    await save_standing(database, a_standing("b", definition="1111aaaa", removed_at=NOW))
    assert json.loads(await assert_matches_read_model(StatusCache(PATIENT), database, NOW))["run"]["warnings"] == []


async def test_a_deployed_model_names_what_a_client_needs_to_call_it(database: Database) -> None:
    await fill(database, JOBS)
    before = {job.account: job.serving for job in (await get_status(database, NOW)).jobs}
    assert before["finished"] is not None
    assert (before["finished"].callable, before["finished"].state) == (False, "not_deployed")
    assert before["planned"] is None
    await deploy(database)
    [called] = [
        job for job in status_to_dict(await get_status(database, NOW))["jobs"] if job["account"] == "finished"
    ]
    assert called["serving"] == {
        "callable": True,
        "state": "ready",
        "model": "m-1#dep-1",
        "base_url": "https://call.example/v1",
        "expires_at": "1970-01-12T14:46:40+00:00",
        "deployment": DEPLOYMENT.id,
    }
    assert called["serving_hint"] is None


async def test_an_adopted_deployment_without_a_job_is_not_shown(database: Database) -> None:
    """Its changes would not be seen: the row versions of the cache find deployments by their job."""
    await fill(database, JOBS)
    adopted = replace(DEPLOYMENT, job_id=None)
    await database.write(lambda tx: deployment_records.add(tx, [adopted], at=NOW, cause="me"))
    serving = {job.account: job.serving for job in (await get_status(database, NOW)).jobs}["finished"]
    assert serving is not None
    assert serving.state == "not_deployed"
