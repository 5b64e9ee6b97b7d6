"""A run of 300 accounts at three providers that is under way, with its history, losses and prices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from math import exp
from random import Random
from typing import Any, Final

from served_dashboard import NOW, RUN, SPEC, ServedDashboard, job, standing, succeeded_job

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.structs import replace
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import losses

REGIONS: Final = ("eu", "us", "apac")
PROVIDERS: Final = (ProviderName.OPENAI, ProviderName.OPENAI, ProviderName.TOGETHER, ProviderName.FIREWORKS)
OUTLIERS: Final = ("school-077", "school-180")
NO_QUOTA: Final = Failure(
    "insufficient_quota", "You exceeded your current quota.", "Add credit at the provider; then `orchestrator retry`."
)
BAD_FILE: Final = Failure("file_rejected", "The provider could not read line 12.", "Check the dataset and retry.")
BUDGET_HOLD: Final = Hold(HoldKind.OVER_BUDGET, "The job would cost $0.70 of $0.50.", "Raise `budget_usd`.")
PATH: Final = (
    JobState.PLANNED,
    JobState.UPLOADING,
    JobState.PROCESSING,
    JobState.READY,
    JobState.SUBMITTING,
    JobState.QUEUED,
    JobState.RUNNING,
)


def name_of(number: int) -> str:
    return f"school-{number:03}"


def large_run_jobs(count: int = 300) -> list[Job]:
    """Most models are ready; some jobs train, wait, are on hold or failed."""
    return [_build_job(number) for number in range(count)]


def _build_job(number: int) -> Job:
    name, values = name_of(number), _provider_values(number)
    remote = f"{number:04}mZr0aXcT4nYb71LpDsQw"
    if number % 29 == 11:
        return job(name, JobState.PLANNED, hold=BUDGET_HOLD, **values)
    if number % 37 == 5:
        failure = NO_QUOTA if number % 2 else BAD_FILE
        return job(name, JobState.FAILED, failure=failure, finished_at=NOW - 900, **values)
    if number % 10 < 6:
        ready = succeeded_job(name, f"C{number:03}QpX1", remote, finished_at=NOW - 60 * (number % 40), **values)
        model = (
            ready.fine_tuned_model if ready.provider is ProviderName.OPENAI else f"{ready.provider}/support-{name}"
        )
        servable = ready.provider is not ProviderName.FIREWORKS
        return replace(ready, fine_tuned_model=model, servable=servable)
    state = (JobState.RUNNING, JobState.RUNNING, JobState.QUEUED, JobState.READY)[number % 10 - 6]
    remote_id = f"ftjob-{remote}" if state in {JobState.RUNNING, JobState.QUEUED} else None
    progress = round((number % 17) / 17, 2) if state is JobState.RUNNING else None
    return job(
        name, state, remote_job_id=remote_id, remote_file_id=f"file-{remote[:12]}", progress=progress, **values
    )


def _provider_values(number: int) -> dict[str, Any]:
    provider = PROVIDERS[number % len(PROVIDERS)]
    prices = {ProviderName.OPENAI: 0.62, ProviderName.TOGETHER: 0.41, ProviderName.FIREWORKS: 0.5}
    price = None if provider is ProviderName.FIREWORKS and number % 3 == 0 else prices[provider]
    return {
        "provider": provider,
        "estimated_usd": price,
        "created_at": NOW - 6000,
        "submitted_at": NOW - 4000 + 11 * number,
    }


async def show_large_run(dashboard: ServedDashboard, count: int = 300) -> None:
    """Show the run with its history and its losses."""
    run_jobs = large_run_jobs(count)
    standings = [
        standing(each.account, REGIONS[number % 3], provider=each.provider) for number, each in enumerate(run_jobs)
    ]
    specs = dict.fromkeys(dict.fromkeys(PROVIDERS), SPEC)
    run = replace(RUN, specs=specs, planned_usd=None, created_at=NOW - 6000, started_at=NOW - 6000)
    await dashboard.replace_run(run_jobs, standings, run)
    dashboard.listed = {
        each.account: Account(name=each.account, provider=each.provider, api_key="env:KEY") for each in run_jobs
    }
    await dashboard.write(partial(_add_history, run_jobs=run_jobs))
    for number, each in enumerate(run_jobs):
        if each.state in {JobState.SUCCEEDED, JobState.RUNNING}:
            curve = list(_build_curve(each, number))
            await dashboard.write(partial(losses.add, job_id=each.id, reported=curve))
            await asyncio.sleep(0)


async def _add_history(tx: Transaction, run_jobs: list[Job]) -> None:
    for number, each in enumerate(run_jobs):
        for event in _build_events(each, number):
            tx.add_events(event)


def _build_events(each: Job, number: int) -> Iterator[EventData]:
    random = Random(number)
    at, before = NOW - 5200 + number * 6, JobState.PLANNED
    seconds = (0, random.uniform(5, 40), random.uniform(60, 400), random.uniform(1, 900), 3, random.uniform(20, 400))
    last = PATH.index(each.state) if each.state in PATH else len(PATH) - 1
    known: dict[str, Any] = {"cause": "service", "account": each.account, "run_id": RUN.id, "job_id": each.id}
    for state, pause in zip(PATH[1 : last + 1], seconds, strict=False):
        at += pause
        yield EventData(at=at, note=state, state_before=before, state_after=state, **known)
        before = state
    if each.hold:
        yield EventData(at=NOW - 4800, note="held", state_before=before, state_after=before, **known)
    if number % 23 == 2:
        yield EventData(at=at + 5, note="held", cause="operator:me", account=each.account)
        yield EventData(at=at + 400, note="released", cause="operator:me", account=each.account)
        at += 400
    if each.state in {JobState.SUCCEEDED, JobState.FAILED}:
        end = min(at + random.uniform(600, 1500), NOW - 10)
        yield EventData(at=end, note=each.state, state_before=before, state_after=each.state, **known)


def _build_curve(each: Job, number: int) -> Iterator[Loss]:
    random = Random(number)
    level, rate = random.gauss(0.42, 0.025), random.gauss(22, 2)
    steps = 120 if each.progress is None else max(3, int(120 * each.progress))
    for step in range(1, steps + 1):
        training = level + 1.5 * exp(-step / rate) + random.gauss(0, 0.015)
        if each.account == OUTLIERS[0]:
            training += 0.01 * step
        elif each.account == OUTLIERS[1]:
            training = max(0.03, training - 0.006 * step)
        validation = round(training + 0.08 + random.gauss(0, 0.01), 4) if step % 20 == 0 else None
        yield Loss(step, round(training, 4), validation)
