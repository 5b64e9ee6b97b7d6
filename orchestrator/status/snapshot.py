"""Snapshot of the current run with all its jobs, and its form as the JSON document of `/status`."""

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
    """Load the current run with all its jobs."""
    async with database.read() as connection:
        live = tuple(await replicas.list_live(connection, now))
        refusal = await replicas.find_refusal(connection, now)
        run = await runs.find_current(connection)
        if run is None:
            return StatusSnapshot(run=None, replicas=live, refusal=refusal)
        dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
        used_values = await pins.list_used_values(connection, run.id)
        shared_keys = await accounts.list_shared_keys(connection) if run.current else []
        views: list[JobView] = []
        for ids in iter_chunks(await jobs.list_ids_by_run(connection, run.id)):
            views += await _get_job_views(connection, run, ids, now)
    counts = Counter("held" if view.held else view.state for view in views)
    return StatusSnapshot(
        run=run_view(run, dataset, used_values, shared_keys),
        jobs=tuple(views),
        replicas=live,
        counts=dict(sorted(counts.items())),
        at=now,
        refusal=refusal,
    )


async def _get_job_views(connection: StoreConnection, run: Run, ids: Sequence[JobId], now: float) -> list[JobView]:
    loaded = await jobs.get_many(connection, ids)
    account_states = await accounts.get_many(connection, [job.account for job in loaded.values()])
    latest_notes = await events.get_latest_notes(connection, ids)
    return [
        job_view(job, run, account_state, latest_notes.get(job.id), now)
        for job in filter(None, map(loaded.get, ids))
        if not ((account_state := account_states[job.account]).removed_at and job.remote_job_id is None)
    ]


def status_to_dict(status: StatusSnapshot) -> dict[str, Any]:
    """Return the document of `/status` as plain values with times in ISO 8601.

    `problem` is the newest refusal of the accounts file that a live replica has stored.
    """
    return {
        "schema": SCHEMA_VERSION,
        "run": view_to_dict(status.run) if status.run else None,
        "counts": dict(status.counts),
        "settled": status.settled,
        "replicas": [view_to_dict(replica) for replica in status.replicas],
        "jobs": [view_to_dict(job) for job in status.jobs],
        "problem": asdict(status.refusal.failure) if status.refusal else None,
    }
