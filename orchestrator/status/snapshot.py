"""Whole: the current run with every job of it, and the document that `/status` answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.run import Run
from orchestrator.status.views import JobView, StatusSnapshot, job_view, run_view, view_to_dict
from orchestrator.store.db.connection import StoreConnection, iter_chunks
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events, jobs, pins, replicas, runs

SCHEMA_VERSION = 1


async def get_status(database: Database, now: float) -> StatusSnapshot:
    """The current run and its jobs, as they are."""
    async with database.read() as connection:
        alive = tuple(await replicas.list_live(connection, now))
        refusal = await replicas.find_refusal(connection, now)
        run = await runs.find_current(connection)
        if run is None:
            return StatusSnapshot(run=None, replicas=alive, refusal=refusal)
        dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
        used = await pins.list_used_values(connection, run.id)
        twins = await accounts.list_shared_keys(connection) if run.current else []
        views: list[JobView] = []
        for ids in iter_chunks(await jobs.list_ids_by_run(connection, run.id)):
            views += await _get_job_views(connection, run, ids, now)
    counts = Counter("held" if view.held else view.state for view in views)
    return StatusSnapshot(
        run=run_view(run, dataset, used, twins),
        jobs=tuple(views),
        replicas=alive,
        counts=dict(sorted(counts.items())),
        at=now,
        refusal=refusal,
    )


async def _get_job_views(connection: StoreConnection, run: Run, ids: Sequence[JobId], now: float) -> list[JobView]:
    found = await jobs.get_many(connection, ids)
    standings = await accounts.get_many(connection, [job.account for job in found.values()])
    latest = await events.get_latest_notes(connection, ids)
    return [
        job_view(job, run, standing, latest.get(job.id), now)
        for job in filter(None, map(found.get, ids))
        if not ((standing := standings[job.account]).removed_at and job.remote_job_id is None)
    ]


def status_to_dict(status: StatusSnapshot) -> dict[str, Any]:
    """The document of `/status`: plain values, times in ISO 8601. `problem` is what a live replica has stored."""
    return {
        "schema": SCHEMA_VERSION,
        "run": view_to_dict(status.run) if status.run else None,
        "counts": dict(status.counts),
        "settled": status.settled,
        "replicas": [view_to_dict(replica) for replica in status.replicas],
        "jobs": [view_to_dict(job) for job in status.jobs],
        "problem": asdict(status.refusal.failure) if status.refusal else None,
    }
