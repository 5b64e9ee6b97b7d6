"""Timelines of a run as the API returns them, computed from the stored events of both databases."""

from __future__ import annotations

from api_values import READER, serve
from store_values import NOW, RUN, a_job, fill, id_of, read_job, record

from orchestrator import status
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import JobSortOrder
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance, hold_job, release_job
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction

STEPS = [
    (JobEvent.UPLOAD_STARTED, 10.0),
    (JobEvent.FILE_UPLOADED, 15.0),
    (JobEvent.FILE_READY, 40.0),
    (JobEvent.SUBMIT_STARTED, 100.0),
]


async def test_api_returns_the_phases_and_holds_of_each_job(database: Database) -> None:
    served = await serve(database)
    await fill(database, [a_job("initech")])
    job = await read_job(database, "acme")
    for event, seconds in STEPS:
        outcome = advance(job, event, now=NOW + seconds)
        assert await record(database, outcome, at=NOW + seconds)
        job = outcome.job
        if event is JobEvent.FILE_UPLOADED:
            for outcome, at in ((hold_job(job, Hold("by_operator", "wait", "Release it.")), 20.0),):
                await record(database, outcome, at=NOW + at)
                job = outcome.job
            outcome = release_job(job, now=NOW + 30)
            await record(database, outcome, at=NOW + 30)
            job = outcome.job
    held = EventData(at=NOW + 50, cause="operator:me", note="held", account="initech")
    await database.write(lambda tx: _add(tx, held))
    served.now = NOW + 110
    async with served.client(READER) as client:
        answer = (await client.get("/api/v1/runs/current/timeline", params={"text": "e"})).json()
        first = (await client.get(f"/api/v1/runs/{RUN.id}/timeline", params={"limit": 1})).json()
        missing = await client.get("/api/v1/runs/nowhere/timeline")
    acme, initech = answer["timelines"][0], answer["timelines"][-1]
    assert [(each["phase"], each["seconds"]) for each in acme["phases"]] == [
        ("before_upload", 10),
        ("upload", 5),
        ("processing", 25),
        ("waiting_for_slot", 60),
        ("submit", 10),
    ]
    assert len(acme["holds"]) == len(initech["holds"]) == 1
    assert initech["job"] == id_of("initech")
    assert [each["phase"] for each in initech["phases"]] == ["before_upload", "on_hold"]
    assert (len(first["timelines"]), first["total"], first["next"]) == (1, 3, f"acme:{id_of('acme')}")
    assert missing.status_code == 404


async def _add(tx: Transaction, event: EventData) -> None:
    tx.add_events(event)


async def test_the_limit_selects_by_the_order(database: Database) -> None:
    names = ["b", "c", "d"]
    jobs = [a_job(name, state=JobState.RUNNING, submitted_at=NOW - 10 * n) for n, name in enumerate(names, start=1)]
    await fill(database, jobs)
    for text, first in (("start", "d"), ("-start", "b"), ("-duration", "d"), ("duration", "b"), ("account", "b")):
        order = JobSortOrder.parse(text)
        found = await status.find_timeline(database, JobFilter(), NOW, limit=1, order=order)
        assert found is not None
        assert [row.account for row in found.rows] == [first], text
