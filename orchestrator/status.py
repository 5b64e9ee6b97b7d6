"""Status: what anyone may see. One read model for command line, API, dashboard, metrics and exports.

A read never changes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.action import holds_on
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import ENDS, State
from orchestrator.core.replica import Replica
from orchestrator.core.run import Run, Standing
from orchestrator.store import accounts, events, jobs, replicas, runs
from orchestrator.store.database import Database

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One account's line. `error` is what keeps it from going on, or what ended it."""

    account: str
    provider: str
    base_model: str
    labels: Sequence[str]
    organization: str | None
    job: str
    state: str
    held: bool
    remote_file_id: str | None
    remote_job_id: str | None
    remote_status: str | None
    fine_tuned_model: str | None
    servable: bool | None
    progress: float | None
    error: Failure | None
    attempts: int
    round: int
    hyperparameters: Mapping[str, Any]
    trained_tokens: int | None
    estimated_usd: float | None
    created_at: float
    state_since: float
    submitted_at: float | None
    finished_at: float | None
    wake_at: float | None
    latest_event: str | None
    replica: str | None = None

    @property
    def settled(self) -> bool:
        """Nothing happens any more unless a person does something."""
        return self.state in ENDS or self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """The current run."""

    id: str
    name: str
    dataset_sha256: str
    examples: int
    tokens: int | None
    specs: Mapping[str, Mapping[str, Any]]
    started: bool
    approved_by: str | None
    planned_usd: float | None
    holds: Sequence[Failure]
    moderation: Mapping[str, Any] | None
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole picture at one moment."""

    run: RunView | None
    jobs: tuple[JobView, ...] = ()
    replicas: tuple[Replica, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Nothing happens any more unless a person does something."""
        return self.run is not None and all(job.settled for job in self.jobs)

    @property
    def succeeded(self) -> bool:
        """Every account has its model."""
        return self.run is not None and all(job.state == State.SUCCEEDED for job in self.jobs)


async def look(database: Database, now: float) -> Status:
    """The current run and its jobs, as they are."""
    async with database.read() as connection:
        alive = tuple(await replicas.live(connection, now))
        run = await runs.current(connection)
        if run is None:
            return Status(run=None, replicas=alive)
        dataset = await runs.dataset_row(connection, run.dataset_sha256)
        standings = await accounts.everyone(connection)
        latest = await events.latest(connection, run.id)
        listed = await jobs.of_run(connection, run.id)
    views = tuple(
        _job_view(job, run, standings[job.account], latest.get(job.account), now)
        for job in listed
        if not (standings[job.account].removed_at and job.remote_job_id is None)
    )
    counts = Counter("held" if view.held else view.state for view in views)
    return Status(run=_run_view(run, dataset), jobs=views, replicas=alive, counts=dict(sorted(counts.items())))


def as_json(status: Status) -> dict[str, Any]:
    """The answer of `/status`: plain values, times in ISO 8601."""
    return {
        "schema": SCHEMA,
        "run": _plain(status.run) if status.run else None,
        "counts": dict(status.counts),
        "settled": status.settled,
        "replicas": [_plain(replica) for replica in status.replicas],
        "jobs": [_plain(job) for job in status.jobs],
    }


def _plain(view: JobView | RunView | Replica) -> dict[str, Any]:
    values = asdict(view)
    for name, value in values.items():
        if name.endswith("_at") or name in {"state_since", "alive_until"}:
            values[name] = iso(value)
    return values


def iso(seconds: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _job_view(job: Job, run: Run, standing: Standing, latest: events.Entry | None, now: float) -> JobView:
    holds = [hold for hold in holds_on(job, run, standing) if hold.holds(now)]
    held = bool(holds) and job.state not in ENDS
    return JobView(
        account=job.account,
        provider=job.provider,
        base_model=job.base_model,
        labels=list(standing.labels),
        organization=standing.organization,
        job=job.id,
        state=job.state,
        held=held,
        remote_file_id=job.remote_file_id,
        remote_job_id=job.remote_job_id,
        remote_status=job.remote_status,
        fine_tuned_model=job.fine_tuned_model,
        servable=job.servable if job.fine_tuned_model else None,
        progress=_progress(job, now),
        error=_error(job, holds[0] if held else None),
        attempts=job.attempts,
        round=job.round,
        hyperparameters=dict(job.hyperparameters),
        trained_tokens=job.trained_tokens,
        estimated_usd=job.estimated_usd,
        created_at=job.created_at,
        state_since=job.state_since,
        submitted_at=job.submitted_at,
        finished_at=job.finished_at,
        wake_at=job.wake_at,
        latest_event=latest.note if latest else None,
        replica=job.replica,
    )


def _error(job: Job, hold: Hold | None) -> Failure | None:
    return hold.failure if hold else job.failure


def _progress(job: Job, now: float) -> float | None:
    """How far, from 0 to 1, by the provider's own estimate; None where it gives none."""
    if job.state is State.SUCCEEDED:
        return 1.0
    if job.state is not State.RUNNING or job.estimated_finish is None:
        return None
    whole = job.estimated_finish - job.state_since
    return round(min(max((now - job.state_since) / whole, 0.0), 0.99), 2) if whole > 0 else None


def _run_view(run: Run, dataset: runs.DatasetRow) -> RunView:
    return RunView(
        id=run.id,
        name=run.name,
        dataset_sha256=run.dataset_sha256,
        examples=dataset.examples,
        tokens=dataset.tokens,
        specs={name.value: spec.as_dict() for name, spec in run.specs.items()},
        started=run.started_at is not None,
        approved_by=run.approved_by,
        planned_usd=run.planned_usd,
        holds=[hold.failure for hold in run.holds],
        moderation=asdict(run.moderation) | {"at": iso(run.moderation.at)} if run.moderation else None,
        created_at=run.created_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the service can do its work. `problem` is why the accounts file as it is now is not in force."""

    database: bool
    ticking: bool
    problem: Failure | None = None

    @property
    def ready(self) -> bool:
        """Database reachable and ticks running."""
        return self.database and self.ticking
