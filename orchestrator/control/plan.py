"""Makes a plan the current run, and loads what a plan depends on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.dataset import Dataset
from orchestrator.core.deployment.deployment import build_deployment
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import FindingSummary
from orchestrator.core.hold import PLAN_HOLD_KINDS
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.pins import PinnedValues, find_resolved_values, list_auto_options
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import deselect_job, hold_job, release_job
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.plans.budget import month_start, next_month_start
from orchestrator.core.plans.plan import DatabaseState, Plan, PlanLine, Work, check_distinct_work
from orchestrator.core.structs import Struct, field, replace
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts as account_queries
from orchestrator.store.queries import costs, notifications, outcomes
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries import runs as run_queries
from orchestrator.store.queries.deployments import deployment_requests


async def load_database_state(
    database: Database, job_ids: Collection[JobId], run_id: RunId, *, now: float
) -> DatabaseState:
    """Load what the database knows that a plan of this run and these jobs depends on."""
    async with database.read() as connection:
        return DatabaseState(
            jobs=await job_queries.get_many(connection, job_ids),
            account_states=await account_queries.list_all(connection),
            committed_usd=await costs.get_committed_by_account(connection, run_id, month_start(now)),
            month_end=next_month_start(now),
            run=await run_queries.find(connection, run_id),
        )


async def get_run_with_dataset(database: Database, run_id: str, datasets: Path) -> tuple[Run, Dataset]:
    """Return the run with this id, or the current run with this name, and its dataset.

    `datasets` is the folder of its files. Raises ConfigError when there is no such run, or no such file any more.
    """
    async with database.read() as connection:
        by_name = (run for run in await run_queries.list_current(connection) if run.name == run_id)
        run = await run_queries.find(connection, RunId(run_id)) or next(by_name, None)
        if run is None:
            raise ConfigError(f"there is no run {run_id}", hint="`orchestrator status` shows the current run's id.")
        dataset = await run_queries.get_dataset(connection, run.dataset_sha256, datasets)
    if not dataset.training.path.is_file():
        raise ConfigError(
            f"the dataset file of run {run_id} is missing: {dataset.training.path}",
            hint="`orchestrator plan` builds it again from the chats, if they are unchanged.",
        )
    return run, dataset


class CheckedPlan(Struct, frozen=True, kw_only=True):
    """A plan, with the findings of its dataset's check."""

    plan: Plan
    findings: FindingSummary | None = None
    deployments: Mapping[ProviderName, DeploymentSpec] = field(default_factory=dict)  # that the run requests


async def apply_plan(
    database: Database, plan: Plan, *, start: bool, now: float, cause: str, findings: FindingSummary | None = None
) -> Run:
    """Make the plan the only current run and return it. Accounts that it does not list are marked as removed."""
    checked = CheckedPlan(plan=plan, findings=findings)
    accounts = [line.account for line in plan.lines]
    [run] = await apply_plans(database, [checked], accounts=accounts, start=start, now=now, cause=cause)
    return run


async def apply_plans(
    database: Database,
    plans: Sequence[CheckedPlan],
    *,
    accounts: Collection[str],
    unchanged: Collection[str] = (),
    gates: Mapping[str, bool] | None = None,
    start: bool,
    now: float,
    cause: str,
) -> list[Run]:
    """Make exactly these plans the current runs, in one transaction, and return the runs.

    Their jobs are created, due now unless held. `accounts` are all accounts of the file; others are marked as
    removed. `unchanged` names runs whose current version stays as it is: their dataset was refused, for example.
    `gates` are the gates of the file by run name: they also apply to these runs, whose models exist.
    Raises ConfigError, and changes nothing, when two of these runs describe the same work.
    """
    async with database.transaction() as tx:
        previous = await run_queries.list_current(tx.connection)
        kept = [await _apply_gate(tx, run, gates or {}) for run in previous if run.name in unchanged]
        check_distinct_work(
            [*[await _load_work(tx.connection, run) for run in kept], *[Work.from_plan(each.plan) for each in plans]]
        )
        runs = [await _apply_run(tx, checked, start=start, now=now, cause=cause) for checked in plans]
        await run_queries.set_current(tx, [run.id for run in (*kept, *runs)])
        deselected: dict[RunId, set[str]] = {}  # accounts that a run has just stopped to select
        for run, checked in zip(runs, plans, strict=True):
            deselected[run.id] = await _withdraw_deselected_jobs(tx, checked.plan, accounts, now, cause)
            await _update_open_jobs(tx, checked.plan, now, cause)
            await job_queries.wake_unsubmitted(tx, run.id, now)
            await _request_deployments(tx, checked, now, cause)
        await deployment_requests.wake_price_holds(tx, accounts, now)
        removed = await account_queries.mark_removed_except(tx, accounts, now)
        for run, checked in zip(runs, plans, strict=True):
            if (before := _find_predecessor(run, previous)) is not None:
                names = {*removed, *deselected[run.id]}
                if before.id != run.id:
                    names |= set(accounts) - {line.account for line in checked.plan.lines}
                await notifications.publish_run_end_after_removal(tx, names, before.id, run.id, now)
        return runs


async def apply_gates(database: Database, gates: Mapping[str, bool]) -> None:
    """Turn the gates of these current runs, by name, on or off, and change nothing else."""
    async with database.transaction() as tx:
        for run in await run_queries.list_current(tx.connection):
            await _apply_gate(tx, run, gates)


async def _apply_gate(tx: Transaction, run: Run, gates: Mapping[str, bool]) -> Run:
    """Return the run with the gate of the accounts file, which is stored."""
    gate = gates.get(run.name, run.gate)
    if gate == run.gate:
        return run
    changed = replace(run, gate=gate)
    await run_queries.save(tx, changed)
    return changed


async def _load_work(connection: StoreConnection, run: Run) -> Work:
    """Return the work of a stored run."""
    accounts = await job_queries.get_account_by_job(connection, run.id)
    return Work(name=run.name, run_id=run.id, account_by_job=accounts)


async def _apply_run(tx: Transaction, checked: CheckedPlan, *, start: bool, now: float, cause: str) -> Run:
    """Store the plan's dataset, run and jobs."""
    plan = checked.plan
    before = await run_queries.find(tx.connection, plan.run_id)
    await run_queries.save_dataset(tx, plan.dataset, now, checked.findings)
    run = _build_run(plan, before, start=start, now=now)
    await run_queries.save(tx, run)
    new = await job_queries.assign_to_run(tx, run.id, [_build_job(line, run, now) for line in plan.lines])
    tx.add_events(*(_build_planned_event(job, now, cause) for job in new))
    run = replace(run, pins=await _load_pins(tx.connection, plan, run))
    await run_queries.save(tx, run)
    return run


def _find_predecessor(run: Run, previous: Sequence[Run]) -> Run | None:
    """Return the run that this run replaces or continues: the one with its name, or the only one."""
    same_name = [before for before in previous if before.name == run.name]
    return next(iter(same_name), previous[0] if len(previous) == 1 else None)


def _build_run(plan: Plan, existing: Run | None, *, start: bool, now: float) -> Run:
    run = existing or Run(
        id=plan.run_id, name=plan.name, dataset_sha256=plan.dataset.sha256, specs=plan.specs, created_at=now
    )
    return replace(
        run,
        name=plan.name,
        current=True,
        priority=plan.priority,
        gate=plan.gate,
        started_at=run.started_at or (now if start else None),
        planned_usd=plan.total_usd,
        planned_limit_usd=plan.limit_usd,
        hold=plan.remaining_hold(run),
        moderation=_merge_moderation(plan, run),
    )


def _merge_moderation(plan: Plan, run: Run) -> Moderation | None:
    """Return the plan's moderation, or the stored one if that was decided or started while the plan was made."""
    missing = plan.moderation is not None and plan.moderation.state is ModerationStatus.MISSING
    decided = run.moderation is not None and run.moderation.state is not ModerationStatus.MISSING
    started = run.moderation is not None and run.moderation.progress is not None
    starts = plan.moderation is not None and plan.moderation.progress is not None
    return run.moderation if missing and (decided or (started and starts)) else plan.moderation


def _build_job(line: PlanLine, run: Run, now: float) -> Job:
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


def _build_planned_event(job: Job, now: float, cause: str) -> EventData:
    return EventData(
        at=now,
        cause=cause,
        note="planned",
        account=job.account,
        run_id=job.run_id,
        job_id=job.id,
        state_after=job.state,
    )


async def _withdraw_deselected_jobs(
    tx: Transaction, plan: Plan, accounts: Collection[str], now: float, cause: str
) -> set[str]:
    """Hold the unsubmitted jobs of accounts that the run does not select, and take them out of the run.

    The file still lists these accounts, so no removal stops the jobs. Returns the accounts of the jobs that were part
    of the run until now. A job of which an earlier round was paid stays in the run, with its costs. A job that is
    being submitted stays until it is certain that no remote job exists; then queries/outcomes.py takes it out.
    """
    planned = {line.job_id for line in plan.lines}
    linked = await job_queries.get_account_by_job(tx.connection, plan.run_id)
    withdrawn = []
    for job in await job_queries.list_replannable(tx.connection, plan.run_id):
        is_unsubmitted = job.state in UNSUBMITTED_STATES
        is_deselected = job.id not in planned and job.account in accounts
        if not is_deselected or not (is_unsubmitted or job.state is JobState.SUBMITTING):
            continue
        if job.hold is None:
            await outcomes.record(tx, deselect_job(job, now=now), at=now, cause=cause)
        if is_unsubmitted and job.id in linked and not job.earlier_usd:
            withdrawn.append(job)
    await job_queries.unlink_from_run(tx, plan.run_id, [job.id for job in withdrawn])
    return {job.account for job in withdrawn}


async def _update_open_jobs(tx: Transaction, plan: Plan, now: float, cause: str) -> None:
    """Update the price estimates of open jobs, hold those the plan holds and release those it no longer holds."""
    lines = {line.job_id: line for line in plan.lines}
    replannable = await job_queries.list_replannable(tx.connection, plan.run_id)
    open_jobs = [job for job in replannable if job.id in lines and job.state not in TERMINAL_STATES]
    unsubmitted = {job.id: job.estimated_usd for job in open_jobs if job.state in UNSUBMITTED_STATES}
    prices = {job_id: lines[job_id].usd for job_id, before in unsubmitted.items() if lines[job_id].usd != before}
    await costs.save_estimates(tx, prices)
    for job in open_jobs:
        line = lines[job.id]
        plan_hold = line.hold if line.hold and line.hold.kind in PLAN_HOLD_KINDS else None
        has_plan_hold = job.hold is not None and job.hold.kind in PLAN_HOLD_KINDS
        if plan_hold and job.hold is None and job.state in UNSUBMITTED_STATES:
            await outcomes.record(tx, hold_job(job, plan_hold), at=now, cause=cause)
        elif has_plan_hold and not plan_hold:
            await outcomes.record(tx, release_job(job, now=now), at=now, cause=cause)


async def _request_deployments(tx: Transaction, checked: CheckedPlan, now: float, cause: str) -> None:
    """Request the deployments of models that exist already: the run got its deployments after its training.

    A model that was deployed before, also one that was stopped since, keeps its record and is not deployed again.
    """
    if not checked.deployments:
        return
    jobs = await job_queries.get_many(tx.connection, [line.job_id for line in checked.plan.lines])
    wanted = [
        build_deployment(job, checked.deployments[job.provider], now=now)
        for job in jobs.values()
        if job.state is JobState.SUCCEEDED and job.fine_tuned_model and job.provider in checked.deployments
    ]
    await deployment_requests.request_deployments(tx, wanted, at=now, cause=cause)


async def _load_pins(connection: StoreConnection, plan: Plan, run: Run) -> dict[ProviderName, PinnedValues | None]:
    """Return the pinned values by provider; None while the provider's first job has not shown its choices."""
    pins: dict[ProviderName, PinnedValues | None] = {}
    for provider in sorted(plan.pin_auto & plan.specs.keys()):
        if list_auto_options(plan.specs[provider], provider):
            pins[provider] = run.pins.get(provider) or await _find_resolved_values(connection, plan, provider)
    return pins


async def _find_resolved_values(
    connection: StoreConnection, plan: Plan, provider: ProviderName
) -> PinnedValues | None:
    ids = [line.job_id for line in plan.lines if line.provider is provider]
    submitted = [job for job in (await job_queries.get_many(connection, ids)).values() if job.submitted_at]
    for job in sorted(submitted, key=lambda job: job.submitted_at or 0):
        if job.state in {JobState.RUNNING, JobState.SUCCEEDED}:
            finished = job.state is JobState.SUCCEEDED
            values = find_resolved_values(plan.specs[provider], provider, job.hyperparameters, finished=finished)
            if values:
                return values
    return None
