"""Snapshot of the current runs with all their jobs, and its form as the JSON document of `/status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import asdict
from orchestrator.status.job_facts import load_job_facts
from orchestrator.status.views import (
    JobView,
    RunView,
    StatusSnapshot,
    count_by_state,
    run_view,
    view_to_dict,
)
from orchestrator.store.db.connection import StoreConnection, iter_chunks
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, jobs, pins, replicas, runs

SCHEMA_VERSION: Final = 1
"""Version of the document of a single run."""
RUNS_SCHEMA_VERSION: Final = 2
"""Version of the document of several current runs."""


async def get_status(database: Database, now: float, *, run_name: str | None = None) -> StatusSnapshot:
    """Load all current runs with all their jobs; with `run_name`, only the current run with this name or id."""
    async with database.read() as connection:
        live = tuple(await replicas.list_live(connection, now))
        refusal = await replicas.find_refusal(connection, now)
        current = [
            run for run in await runs.list_current(connection) if run_name is None or run_name in {run.name, run.id}
        ]
        run_views = [await load_run_view(connection, run) for run in current]
        views: list[JobView] = []
        for run in current:
            for ids in iter_chunks(await jobs.list_ids_by_run(connection, run.id)):
                views += await _get_job_views(connection, run, ids, now)
    if not run_views:
        return StatusSnapshot(run=None, replicas=live, refusal=refusal)
    return StatusSnapshot(
        run=run_views[0],
        jobs=tuple(views),
        replicas=live,
        counts=count_by_state(views),
        at=now,
        refusal=refusal,
        other_runs=tuple(run_views[1:]),
    )


async def load_run_view(connection: StoreConnection, run: Run) -> RunView:
    """Load what the view of a run shows besides the run itself, and build the view."""
    dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
    different_values = await pins.list_different_values(connection, run.id)
    shared_keys = await accounts.list_shared_keys(connection) if run.current else []
    return run_view(run, dataset, different_values, shared_keys)


async def _get_job_views(connection: StoreConnection, run: Run, ids: Sequence[JobId], now: float) -> list[JobView]:
    loaded = await jobs.get_many(connection, ids)
    account_states = await accounts.get_many(connection, [job.account for job in loaded.values()])
    facts = await load_job_facts(connection, [run.id], loaded.values())
    return [
        facts.build_view(job, run, account_state, now)
        for job in filter(None, map(loaded.get, ids))
        if not ((account_state := account_states[job.account]).removed_at and job.remote_job_id is None)
    ]


def status_to_dict(status: StatusSnapshot) -> dict[str, Any]:
    """Return the document of `/status` as plain values with times in ISO 8601: schema 1, or 2 for several runs.

    `problem` is the newest refusal of the accounts file that a live replica has stored.
    """
    problem = asdict(status.refusal.failure) if status.refusal else None
    live = [view_to_dict(replica) for replica in status.replicas]
    if not status.other_runs:
        return {
            "schema": SCHEMA_VERSION,
            "run": view_to_dict(status.run) if status.run else None,
            "counts": dict(status.counts),
            "settled": status.settled,
            "replicas": live,
            "jobs": [view_to_dict(job) for job in status.jobs],
            "problem": problem,
        }
    return {
        "schema": RUNS_SCHEMA_VERSION,
        "counts": dict(status.counts),
        "settled": status.settled,
        "replicas": live,
        "runs": [
            {
                **run_to_dict(part.run),
                "counts": dict(part.counts),
                "settled": part.settled,
                "jobs": [view_to_dict(job) for job in part.jobs],
            }
            for part in status.split_by_run()
            if part.run
        ],
        "problem": problem,
    }


def run_to_dict(run: RunView) -> dict[str, Any]:
    """Return the part of a run in the document of several runs that does not depend on its jobs."""
    return {"run": view_to_dict(run), "priority": run.priority}
