"""Whole: the current run with every job of it, and the document that `/status` answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from orchestrator.status.views import Status, job_view, plain, run_view
from orchestrator.store import accounts, events, jobs, pins, replicas, runs
from orchestrator.store.database import Database

SCHEMA = 1


async def look(database: Database, now: float) -> Status:
    """The current run and its jobs, as they are."""
    async with database.read() as connection:
        alive = tuple(await replicas.live(connection, now))
        run = await runs.current(connection)
        if run is None:
            return Status(run=None, replicas=alive)
        dataset = await runs.dataset_row(connection, run.dataset_sha256)
        used = await pins.used(connection, run.id)
        standings = await accounts.everyone(connection)
        latest = await events.latest(connection, run.id)
        listed = await jobs.of_run(connection, run.id)
    views = tuple(
        job_view(job, run, standings[job.account], latest.get(job.account), now)
        for job in listed
        if not (standings[job.account].removed_at and job.remote_job_id is None)
    )
    counts = Counter("held" if view.held else view.state for view in views)
    return Status(run=run_view(run, dataset, used), jobs=views, replicas=alive, counts=dict(sorted(counts.items())))


def as_json(status: Status) -> dict[str, Any]:
    """The answer of `/status`: plain values, times in ISO 8601."""
    return {
        "schema": SCHEMA,
        "run": plain(status.run) if status.run else None,
        "counts": dict(status.counts),
        "settled": status.settled,
        "replicas": [plain(replica) for replica in status.replicas],
        "jobs": [plain(job) for job in status.jobs],
    }
