"""An outcome is committed whole or not at all, and is counted and logged only after its commit."""

from __future__ import annotations

from typing import Any, cast

import pytest
import structlog
from store_values import NOW, a_job, a_standing, fill
from structlog.testing import LogCapture

from orchestrator.core.account import Account, BudgetPeriod, ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.errors import BudgetExceeded, Failure, JobLimitReached, StaleJob
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.observer import ServiceObserver
from orchestrator.core.jobs.transitions import Outcome, advance, poll_again, request_cancel, retry_later
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.daemon.outcome_recorder import OutcomeRecorder
from orchestrator.providers.base import Provider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events, jobs, outcomes

KEY = "sk-proj-0123456789abcdef"
FAILURE = Failure("rate_limited", f"slow down {KEY}", "wait", "req-9")
ACCOUNT = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY", max_running_jobs=1)


class FixedClock:
    def now(self) -> float:
        return NOW + 5

    def boottime(self) -> float:
        return 5.0


class RecordingObserver(ServiceObserver):
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def outcome_recorded(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Stage:
    """A recorder, with everything that it counts and logs."""

    def __init__(self, database: Database) -> None:
        redact = Redactor()
        redact.add(Secret(KEY))
        self.lines, self.observer, self.database = LogCapture(), RecordingObserver(), database
        connection = ProviderConnection(ACCOUNT, "12345678", cast(Provider, object()))
        log = structlog.wrap_logger(
            structlog.PrintLogger(), processors=[self.lines], wrapper_class=structlog.stdlib.BoundLogger
        )
        self.recorder = OutcomeRecorder(
            database,
            {"acme": connection},
            redact=redact,
            clock=FixedClock(),
            replica="replica-1",
            log=log,
            observer=self.observer,
        )

    async def stored(self, job: Job) -> Job:
        async with self.database.read() as connection:
            return (await jobs.get_many(connection, [job.id]))[job.id]

    async def history(self, job: Job) -> list[tuple[float, str, str]]:
        async with self.database.read() as connection:
            return [
                (event.at, event.note, event.cause) for event in await events.list_by_account(connection, job.account)
            ]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [dict(line) for line in self.lines.entries if line["event"] == event]


async def start(database: Database, **changes: Any) -> tuple[Stage, Job]:
    job = a_job("acme", **changes)
    await fill(database, [job])
    return Stage(database), job


async def test_recorded_transition_is_counted_and_logged_with_its_fields(database: Database) -> None:
    stage, job = await start(database, state=JobState.SUBMITTING, remote_file_id="file-1", attempts=2)
    outcome = advance(job, JobEvent.REMOTE_CREATED, now=NOW, request_id="req-1", remote_job_id="ftjob-1")

    recorded = await stage.recorder.record(outcome)

    assert recorded == replace(outcome.job, replica="replica-1") == await stage.stored(job)
    assert [each.job for each in stage.observer.outcomes] == [recorded]
    assert await stage.history(job) == [(NOW + 5, "remote job created", "service")]
    assert stage.lines.entries == [
        {
            "event": "job.state_changed",
            "log_level": "info",
            "account": "acme",
            "what": "remote job created",
            "before": "submitting",
            "after": "queued",
            "attempt": 0,
            "job": job.id,
            "file": "file-1",
            "remote_job": "ftjob-1",
            "request_id": "req-1",
        }
    ]


async def test_failed_attempt_is_logged_as_a_warning_without_the_key(database: Database) -> None:
    stage, job = await start(database, state=JobState.SUBMITTING)
    outcome = retry_later(job, FAILURE, until=NOW + 60, counts_as_attempt=True, maybe_sent=False)

    recorded = await stage.recorder.record(outcome)

    [line] = stage.logged("job.updated")
    assert (line["log_level"], line["kind"], line["hint"]) == ("warning", "rate_limited", "wait")
    assert KEY not in str(stage.lines.entries)
    assert KEY not in str(recorded)
    assert "[key " in line["message"]


async def test_poll_without_news_is_counted_and_leaves_no_line(database: Database) -> None:
    stage, job = await start(database, state=JobState.RUNNING)
    recorded = await stage.recorder.record(poll_again(job, NOW + 60))
    assert recorded.wake_at == NOW + 60
    assert (len(stage.observer.outcomes), stage.lines.entries, await stage.history(job)) == (1, [], [])


@pytest.mark.parametrize("is_new", [True, False])
async def test_warning_is_logged_and_kept_in_the_history_when_it_is_new(database: Database, is_new: bool) -> None:
    stage, job = await start(database, state=JobState.RUNNING, remote_job_id="ftjob-1")
    warning = Failure("job_stalled", "nothing has changed", "look")
    outcome = replace(poll_again(job, NOW + 60, warning=warning), is_warning_new=is_new)

    await stage.recorder.record(outcome)

    assert len(await stage.history(job)) == is_new
    warned = [
        {
            "event": "job.warned",
            "log_level": "warning",
            "account": "acme",
            "job": job.id,
            "state": "running",
            "remote_job": "ftjob-1",
            "kind": "job_stalled",
            "message": "nothing has changed",
            "hint": "look",
        }
    ]
    assert stage.lines.entries == (warned if is_new else [])


@pytest.mark.parametrize("servable", [True, False])
async def test_finished_model_is_logged_with_its_key_and_how_it_is_served(database: Database, servable: bool) -> None:
    stage, job = await start(database, state=JobState.RUNNING, remote_job_id="ftjob-1")
    outcome = advance(job, JobEvent.REMOTE_SUCCEEDED, now=NOW, fine_tuned_model="ft:m", servable=servable)

    await stage.recorder.record(outcome)

    [line] = stage.logged("model.ready")
    expected = {
        "event": "model.ready",
        "log_level": "info",
        "account": "acme",
        "provider": "openai",
        "key": "12345678",
        "base_model": "sandbox-small",
        "fine_tuned_model": "ft:m",
        "servable": servable,
    }
    assert line == expected | ({} if servable else {"serving": CAPABILITIES[ProviderName.OPENAI].serving})
    assert (await stage.stored(job)).wake_at is None


async def test_failed_job_has_no_model_line(database: Database) -> None:
    stage, job = await start(database, state=JobState.RUNNING)
    await stage.recorder.record(advance(job, JobEvent.REMOTE_FAILED, now=NOW, failure=FAILURE))
    assert stage.logged("model.ready") == []
    assert len(stage.logged("job.state_changed")) == 1


@pytest.mark.parametrize("event", [JobEvent.REMOTE_STARTED, JobEvent.REMOTE_FAILED])
async def test_stale_outcome_changes_nothing_and_is_not_counted(database: Database, event: JobEvent) -> None:
    stage, job = await start(database, state=JobState.QUEUED)
    await stage.recorder.record(poll_again(job, NOW + 60))
    before = await stage.stored(job)
    counted = len(stage.observer.outcomes)

    with pytest.raises(StaleJob, match="version 1 of the job"):
        await stage.recorder.record(advance(job, event, now=NOW))

    assert await stage.stored(job) == before
    assert len(stage.observer.outcomes) == counted
    assert stage.lines.entries == []


@pytest.mark.parametrize("rebase", [True, False])
async def test_answer_of_a_create_survives_a_cancel_request_only_where_it_is_rebased(
    database: Database, rebase: bool
) -> None:
    stage, job = await start(database, state=JobState.SUBMITTING, intent_until=NOW + 30)
    requested = request_cancel(job, now=NOW)
    assert await database.write(lambda tx: outcomes.record(tx, requested, at=NOW, cause="operator"))
    created = advance(job, JobEvent.REMOTE_CREATED, now=NOW, remote_job_id="ftjob-1")

    if not rebase:
        with pytest.raises(StaleJob):
            await stage.recorder.record(created)
        return
    recorded = await stage.recorder.record(created, rebase_on_cancel=True)

    assert (recorded.remote_job_id, recorded.cancel_asked, recorded.version) == ("ftjob-1", True, 3)
    assert recorded == await stage.stored(job)
    assert [each.job for each in stage.observer.outcomes] == [recorded]


async def test_intent_is_written_only_while_a_slot_of_the_account_is_free(database: Database) -> None:
    ready = a_job("acme", state=JobState.READY)
    await fill(database, [ready, a_job("acme", id=JobId("other"), state=JobState.RUNNING)])
    stage = Stage(database)
    intent = advance(ready, JobEvent.SUBMIT_STARTED, now=NOW, intent_until=NOW + 30)

    with pytest.raises(JobLimitReached, match="no job slot is free"):
        await stage.recorder.record(intent, limits_of=ACCOUNT)
    assert (await stage.stored(ready)).state is JobState.READY
    assert stage.observer.outcomes == []

    two = replace(ACCOUNT, max_running_jobs=2)
    assert (await stage.recorder.record(intent, limits_of=two)).state is JobState.SUBMITTING


@pytest.mark.parametrize(("budget", "fits"), [(None, True), (4.99, False), (5.0, True)])
async def test_intent_is_written_only_within_the_budget_of_the_account(
    database: Database, budget: float | None, fits: bool
) -> None:
    ready = a_job("acme", state=JobState.READY, estimated_usd=2.0)
    spent = a_job(
        "acme",
        id=JobId("other"),
        state=JobState.SUCCEEDED,
        remote_job_id="ftjob-1",
        submitted_at=NOW,
        estimated_usd=3.0,
    )
    await fill(database, [ready, spent])
    await database.write(lambda tx: accounts.save(tx, a_standing("acme")))
    stage = Stage(database)
    intent = advance(ready, JobEvent.SUBMIT_STARTED, now=NOW, intent_until=NOW + 30)
    account = replace(ACCOUNT, budget_usd=budget, budget_period=BudgetPeriod.TOTAL)

    if fits:
        assert (await stage.recorder.record(intent, limits_of=account)).state is JobState.SUBMITTING
        return
    with pytest.raises(BudgetExceeded, match=r"\$3\.00 of the account's budget of \$4\.99") as refused:
        await stage.recorder.record(intent, limits_of=account)
    assert "`budget_usd`" in refused.value.hint
    assert (await stage.stored(ready)).state is JobState.READY
