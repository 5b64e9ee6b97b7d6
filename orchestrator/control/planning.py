"""Planning: a plan becomes the current run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.advance import hold, release
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Findings
from orchestrator.core.hold import BY_PLAN
from orchestrator.core.job import Job, RunId
from orchestrator.core.lifecycle import UNSENT, State
from orchestrator.core.moderation import Moderated, Moderation
from orchestrator.core.pin import Values, chosen, left_open
from orchestrator.core.plan import Plan, PlanLine
from orchestrator.core.run import Run
from orchestrator.store import accounts, announcements, costs, events, jobs, outcomes, runs
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database


async def kept_run(database: Database, run_id: str, datasets: Path) -> tuple[Run, Dataset]:
    """A run, with its dataset as it lies in `datasets`. Raises ConfigError when either is not there."""
    async with database.read() as connection:
        run = await runs.find(connection, RunId(run_id))
        if run is None:
            raise ConfigError(f"there is no run {run_id}", hint="`orchestrator status` shows the current run's id.")
        dataset = await runs.load_dataset(connection, run.dataset_sha256, datasets)
    if not dataset.training.path.is_file():
        raise ConfigError(
            f"the dataset of run {run_id} is no longer kept as {dataset.training.path}",
            hint="`orchestrator plan` makes it anew from the chats, if they are still what they were.",
        )
    return run, dataset


async def adopt_plan(
    database: Database, plan: Plan, *, start: bool, now: float, cause: str, findings: Findings | None = None
) -> Run:
    """Make the plan the current run: its jobs exist from now on, and are due unless held. Other accounts are gone."""

    async def change(connection: AsyncConnection) -> Run:
        previous = await runs.current(connection)
        before = await runs.find(connection, plan.run_id)
        await runs.save_dataset(connection, plan.dataset, now, findings)
        run = _run(plan, before, start=start, now=now)
        await runs.save(connection, run)
        new = await jobs.add(connection, run.id, [_job(line, run, now) for line in plan.lines])
        await events.append(connection, *(_planned(job, now, cause) for job in new))
        await runs.save(connection, replace(run, pins=await _pins(connection, plan, run)))
        await _apply_plan(connection, plan, now, cause)
        await jobs.wake_unsent(connection, run.id, now)
        removed = await accounts.remove_all_but(connection, [line.account for line in plan.lines], now)
        if previous is not None:
            await announcements.announce_removal(connection, removed, previous.id, run.id, now)
        return run

    return await database.write(change)


def _run(plan: Plan, before: Run | None, *, start: bool, now: float) -> Run:
    run = before or Run(
        id=plan.run_id, name=plan.name, dataset_sha256=plan.dataset.sha256, specs=plan.specs, created_at=now
    )
    return replace(
        run,
        name=plan.name,
        current=True,
        started_at=run.started_at or (now if start else None),
        planned_usd=plan.total_usd,
        hold=plan.hold_after(run),
        moderation=_moderation(plan, run),
    )


def _moderation(plan: Plan, run: Run) -> Moderation | None:
    """The plan's, unless it passed, was waived or was begun while the plan was being made."""
    missing = plan.moderation is not None and plan.moderation.state is Moderated.MISSING
    decided = run.moderation is not None and run.moderation.state is not Moderated.MISSING
    begun = run.moderation is not None and run.moderation.progress is not None
    begins = plan.moderation is not None and plan.moderation.progress is not None
    return run.moderation if missing and (decided or (begun and begins)) else plan.moderation


def _job(line: PlanLine, run: Run, now: float) -> Job:
    return Job(
        id=line.job_id,
        run_id=run.id,
        account=line.account,
        provider=line.provider,
        base_model=line.base_model,
        wake_at=now,
        estimated_usd=line.usd,
        created_at=now,
        state_since=now,
    )


def _planned(job: Job, now: float, cause: str) -> events.Entry:
    return events.Entry(
        at=now,
        cause=cause,
        note="planned",
        account=job.account,
        run_id=job.run_id,
        job_id=job.id,
        state_after=job.state,
    )


async def _apply_plan(connection: AsyncConnection, plan: Plan, now: float, cause: str) -> None:
    """Note what the jobs are estimated at now. Hold those the plan holds; release those it no longer does."""
    lines = {line.job_id: line for line in plan.lines}
    open_to_it = [job for job in await jobs.unsent_or_held(connection, plan.run_id) if job.id in lines]
    unsent = {job.id: job.estimated_usd for job in open_to_it if job.state in UNSENT}
    prices = {job_id: lines[job_id].usd for job_id, before in unsent.items() if lines[job_id].usd != before}
    await costs.price(connection, prices)
    for job in open_to_it:
        line = lines[job.id]
        wanted = line.hold if line.hold and line.hold.kind in BY_PLAN else None
        had = job.hold is not None and job.hold.kind in BY_PLAN
        if wanted and job.hold is None and job.state in UNSENT:
            await outcomes.record(connection, hold(job, wanted), at=now, cause=cause)
        elif had and not wanted:
            await outcomes.record(connection, release(job, now=now), at=now, cause=cause)


async def _pins(connection: AsyncConnection, plan: Plan, run: Run) -> dict[ProviderName, Values | None]:
    """What is known of each provider whose choices for the first job are given to the rest."""
    pins: dict[ProviderName, Values | None] = {}
    for provider in sorted(plan.pin_auto & plan.specs.keys()):
        if left_open(plan.specs[provider], provider):
            pins[provider] = run.pins.get(provider) or await _chosen_before(connection, plan, provider)
    return pins


async def _chosen_before(connection: AsyncConnection, plan: Plan, provider: ProviderName) -> Values | None:
    ids = [line.job_id for line in plan.lines if line.provider is provider]
    known = [job for job in (await jobs.by_id(connection, ids)).values() if job.submitted_at]
    for job in sorted(known, key=lambda job: job.submitted_at or 0):
        if job.state in {State.RUNNING, State.SUCCEEDED}:
            done = job.state is State.SUCCEEDED
            values = chosen(plan.specs[provider], provider, job.hyperparameters, done=done)
            if values:
                return values
    return None
