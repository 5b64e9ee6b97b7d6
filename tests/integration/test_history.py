"""Accounts, runs and datasets as they are shown."""

from __future__ import annotations

from functools import partial

from store_values import DATASET, NOW, RUN, a_job, a_standing, fill

from orchestrator.core.finding import Finding, FindingSummary, Severity
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance
from orchestrator.core.structs import replace
from orchestrator.status import find_account, find_dataset, find_run_overview, list_runs
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, outcomes
from orchestrator.store.queries.runs import save_dataset

LATER = replace(RUN, id=RunId("run-2"), name="again", created_at=NOW + 100)


async def two_runs(database: Database) -> None:
    old = a_job("acme", id=JobId("old"), state=JobState.SUCCEEDED, fine_tuned_model="ft:1")
    await fill(database, [old, a_job("globex")])
    await fill(database, [a_job("acme", id=JobId("new"), run_id=LATER.id, created_at=NOW + 100)], LATER)


async def test_account_lists_its_current_jobs_first(database: Database) -> None:
    await two_runs(database)
    account = await find_account(database, "acme", NOW)
    assert account is not None
    assert [(each.run_name, each.current, each.job.job) for each in account.jobs] == [
        ("again", True, "new"),
        ("support", False, "old"),
    ]
    assert account.jobs[1].job.fine_tuned_model == "ft:1"
    assert await find_account(database, "nobody", NOW) is None


async def test_account_lists_its_newest_events_first(database: Database) -> None:
    await fill(database, [job := a_job("acme")])
    started = advance(job, JobEvent.UPLOAD_STARTED, now=NOW)
    uploaded = advance(started.job, JobEvent.FILE_UPLOADED, now=NOW + 1)

    async def change(tx: Transaction) -> None:
        await outcomes.record(tx, started, at=NOW, cause="service")
        await outcomes.record(tx, uploaded, at=NOW + 1, cause="service")
        await accounts.save(tx, a_standing("acme", hold=Hold("by_operator", "a look", "", until=NOW + 9)))

    await database.write(change)
    account, later = await find_account(database, "acme", NOW), await find_account(database, "acme", NOW + 9)
    assert account is not None
    assert later is not None
    assert [event.note for event in account.events] == ["file uploaded", "upload started"]
    assert account.hold is not None
    assert later.hold is None


async def test_every_run_is_listed_with_its_state(database: Database) -> None:
    assert await list_runs(database, NOW) == ()
    await two_runs(database)
    lines = await list_runs(database, NOW)
    assert [(line.run.name, line.current, line.counts, line.total) for line in lines] == [
        ("again", True, {"planned": 1}, 1),
        ("support", False, {"held": 1, "succeeded": 1}, 2),  # what an earlier run has not sent, it will not send
    ]


async def test_what_is_held_is_not_listed_as_running(database: Database) -> None:
    """Both bars of a run tell the same: that of its own page and that in the list."""
    aside = Hold("by_operator", "tidy", "Release it.")
    over = replace(aside, until=NOW - 1)
    await fill(
        database,
        [
            a_job("by-job", state=JobState.RUNNING, hold=aside),
            a_job("by-account", state=JobState.RUNNING),
            a_job("over", state=JobState.RUNNING, hold=over),
            a_job("free", state=JobState.RUNNING),
            a_job("unsent", state=JobState.READY),
            a_job("ended", state=JobState.SUCCEEDED, hold=aside),
        ],
        replace(RUN, hold=Hold("run_too_dear", "too dear", "Approve it.")),
    )
    await database.write(lambda tx: accounts.save(tx, a_standing("by-account", hold=aside)))
    [line] = await list_runs(database, NOW)
    assert line.counts == {"held": 3, "running": 2, "succeeded": 1}
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    assert seen.counts == line.counts


async def test_dataset_lists_its_runs(database: Database) -> None:
    await two_runs(database)
    seen = await find_dataset(database, DATASET.sha256, NOW)
    assert seen is not None
    assert (seen.dataset.examples, seen.dataset.tokens, seen.dataset.bytes) == (12, 500, 1000)
    assert [line.run.name for line in seen.runs] == ["again", "support"]
    assert seen.findings is None
    assert await find_dataset(database, "nothing", NOW) is None


async def test_dataset_keeps_its_latest_findings(database: Database) -> None:
    await two_runs(database)
    many = [
        Finding(code="e-mail", severity=Severity.WARNING, file="a.json", line=n, message="one", hint="Polish it.")
        for n in range(30)
    ]
    for findings in (FindingSummary.from_findings([], {}), FindingSummary.from_findings(many, {"e-mail": 31})):
        await database.write(partial(save_dataset, dataset=DATASET, at=1.0, findings=findings))
        seen = await find_dataset(database, DATASET.sha256, NOW)
        assert seen is not None
        assert seen.findings == findings
    assert [finding.line for finding in findings.first] == list(range(20))
