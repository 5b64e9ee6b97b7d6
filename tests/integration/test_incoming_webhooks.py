"""A webhook makes its job due, once; nothing is believed of it, and nothing else can be done with the open door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webhook_stage import NAMES, PACE, POLL_MAX, TRAINING_SECONDS, Request, WebhookStage, signing_secret

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database

BURST = 1000


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[WebhookStage]:
    stage = WebhookStage(database)
    await stage.set_up()
    yield stage
    await stage.tear_down()


def genuine(stage: WebhookStage, account: str = "acme", **changes: Any) -> Request:
    return Request(account, stage.remote[account], **changes)


async def test_webhook_triggers_a_poll_and_its_payload_is_not_trusted(stage: WebhookStage) -> None:
    assert await stage.send(genuine(stage)) == 204
    job = await stage.job("acme")
    assert (job.state, job.wake_at, stage.nudges) == (JobState.RUNNING, stage.clock.now(), 1)
    await stage.poll_due_jobs()
    job = await stage.job("acme")
    assert job.state is JobState.RUNNING, "it trains, whatever the webhook says"
    assert job.wake_at == stage.clock.now() + PACE.poll_min_seconds, (
        "the provider's own reads may lag behind its webhooks"
    )

    stage.clock.seconds += TRAINING_SECONDS
    assert stage.nudges == 1
    assert await stage.send(genuine(stage, id="wh-2", kind="fine_tuning.job.failed")) == 204
    await stage.poll_due_jobs()
    assert (await stage.job("acme")).state is JobState.SUCCEEDED
    assert (await stage.calls())["acme"] == 2


async def test_history_records_the_webhook_and_the_account_its_arrival(stage: WebhookStage) -> None:
    await stage.send(genuine(stage))
    _, remembered, accounts, events = await stage.snapshot()
    assert len(remembered) == 1
    assert [name for name in NAMES if str(stage.clock.now()) in next(a for a in accounts if name in a)] == ["acme"]
    assert ["webhook arrived" in line for line in events] == [True]


async def test_polls_are_rarer_once_webhooks_arrive(stage: WebhookStage) -> None:
    """Training is far on: a fifth of its time is more than the longest wait without webhooks."""
    await stage.send(genuine(stage))
    stage.clock.seconds += 900.0
    await stage.poll_due_jobs()
    waits = {name: (await stage.job(name)).wake_at for name in NAMES}
    assert waits == {"acme": stage.clock.now() + 2.0, "blue": stage.clock.now() + POLL_MAX}
    stage.clock.seconds += 2.0
    await stage.poll_due_jobs()
    assert (await stage.job("acme")).wake_at == pytest.approx(stage.clock.now() + 1302.0 / 5)


async def test_repeated_webhook_is_ignored(stage: WebhookStage) -> None:
    await stage.send(genuine(stage))
    await stage.poll_due_jobs()
    before = await stage.snapshot()
    stage.clock.seconds += 60.0
    for age in (0.0, 100.0):
        assert await stage.send(genuine(stage, age=age)) == 204
    assert await stage.snapshot() == before
    assert stage.nudges == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"spoilt": True}, 400),
        ({"secret": signing_secret("blue")}, 400),
        ({"secret": signing_secret("nobody")}, 400),
        ({"age": 400.0}, 400),
        ({"age": -400.0}, 400),
        ({"account": "nobody", "secret": signing_secret("nobody")}, 400),
    ],
)
async def test_forged_or_stale_webhook_is_refused_without_a_trace(
    stage: WebhookStage, changes: dict[str, Any], status: int
) -> None:
    before = await stage.snapshot()
    assert await stage.send(replace(genuine(stage), **changes)) == status
    assert await stage.snapshot() == before


@pytest.mark.parametrize(
    "changes",
    [{"kind": "batch.completed"}, {"kind": "fine_tuning.jobs"}, {"remote_job": "ftjob-x"}, {"account": "blue"}],
)
async def test_webhook_without_a_job_of_the_account_is_ignored(stage: WebhookStage, changes: dict[str, Any]) -> None:
    jobs, _, accounts, events = await stage.snapshot()
    assert await stage.send(replace(genuine(stage), **changes)) == 204
    after = await stage.snapshot()
    assert [after[0], after[2], after[3]] == [jobs, accounts, events]
    await stage.poll_due_jobs()
    assert await stage.calls() == {"acme": 0, "blue": 0}


async def test_webhook_for_an_ended_job_records_its_arrival_only(stage: WebhookStage) -> None:
    stage.clock.seconds += TRAINING_SECONDS
    await stage.poll_due_jobs()
    job, calls = await stage.job("acme"), await stage.calls()
    assert job.state is JobState.SUCCEEDED
    assert await stage.send(genuine(stage)) == 204
    await stage.poll_due_jobs()
    assert (await stage.job("acme"), await stage.calls()) == (job, calls)
    assert any(str(stage.clock.now()) in account for account in (await stage.snapshot())[2])


async def test_thousand_webhooks_cost_at_most_two_polls(stage: WebhookStage) -> None:
    """Fifty at once, some of them while a look is under way; and a look after each fifty."""
    for first in range(0, BURST, 50):
        sending = asyncio.gather(*(stage.send(genuine(stage, id=f"wh-{first + n}")) for n in range(50)))
        while not sending.done():
            await stage.poll_due_jobs()
            await asyncio.sleep(0)
        assert set(await sending) == {204}
        await stage.poll_due_jobs()
    assert 1 <= (await stage.calls())["acme"] <= 2
    job = await stage.job("acme")
    assert job.wake_at is not None
    assert job.wake_at <= stage.clock.now() + PACE.poll_min_seconds, "none of them is lost"


# What can happen, one after the other: something is sent, time goes by, the loop looks.
requests = st.builds(
    Request,
    account=st.sampled_from(NAMES),
    remote_job=st.sampled_from([*NAMES, "ftjob-unknown"]),  # the name stands for its job
    id=st.sampled_from([f"wh-{n}" for n in range(3)]),
    kind=st.sampled_from(["fine_tuning.job.succeeded", "fine_tuning.job.failed", "batch.completed"]),
    age=st.sampled_from([0.0, 0.0, 0.0, 250.0, 400.0, -400.0]),
    secret=st.sampled_from([None, None, None, *(signing_secret(name) for name in (*NAMES, "nobody"))]),
    spoilt=st.sampled_from([False, False, False, True]),
)
happenings = st.one_of(requests, requests, st.sampled_from([0.0, 0.5, 3.0, 300.0]), st.just("look"))


class Loop:
    """One event loop and one database for all examples."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.database = Database(url)
        self.runner.run(self.database.migrate())

    def close(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()


@pytest.fixture
def loop(database_url: str) -> Iterator[Loop]:
    loop = Loop(database_url)
    yield loop
    loop.close()


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(story=st.lists(happenings, max_size=25))
def test_whatever_comes_in_whatever_order(loop: Loop, story: list[Request | float | str]) -> None:
    loop.runner.run(_play(WebhookStage(loop.database), story))


async def _play(stage: WebhookStage, story: list[Request | float | str]) -> None:
    await stage.set_up()
    taken: set[tuple[str, str]] = set()
    needed = dict.fromkeys(NAMES, 0)  # looks that somebody has a reason for
    for happening in story:
        if isinstance(happening, Request):
            request = replace(happening, remote_job=stage.remote.get(happening.remote_job, happening.remote_job))
            await _send(stage, request, taken, needed)
        elif isinstance(happening, float):
            stage.clock.seconds += happening
        else:
            await _look(stage, needed)
    stage.clock.seconds += TRAINING_SECONDS
    await _look(stage, needed)
    assert {(await stage.job(name)).state for name in NAMES} == {JobState.SUCCEEDED}
    await stage.tear_down()


async def _send(stage: WebhookStage, request: Request, taken: set[tuple[str, str]], needed: dict[str, int]) -> None:
    valid = abs(request.age) < 300 and not request.spoilt
    valid &= request.secret is None or request.secret.reveal() == signing_secret(request.account).reveal()
    before, states = await stage.snapshot(), [(await stage.job(name)).state for name in NAMES]
    assert await stage.send(request) == (204 if valid else 400)
    after = await stage.snapshot()
    assert [(await stage.job(name)).state for name in NAMES] == states
    of_this_account = request.remote_job == stage.remote[request.account] and request.kind.startswith("fine_tuning.")
    if not valid or (request.account, request.id) in taken:
        assert after == before
    elif of_this_account:
        needed[request.account] += 2  # one for it, and one soon after should the provider's reads lag behind
    else:
        assert after[0] == before[0]
    if valid:
        taken.add((request.account, request.id))


async def _look(stage: WebhookStage, needed: dict[str, int]) -> None:
    for name in NAMES:
        job = await stage.job(name)
        if job.wake_at is not None and job.wake_at <= stage.clock.now() and not job.woken_by_webhook:
            needed[name] += 1
    await stage.poll_due_jobs()
    calls = await stage.calls()
    assert all(calls[name] <= needed[name] for name in NAMES), (calls, needed)
    for name in NAMES:
        job = await stage.job(name)
        over = stage.clock.seconds >= TRAINING_SECONDS
        assert job.state is JobState.RUNNING or (over and job.state is JobState.SUCCEEDED)
