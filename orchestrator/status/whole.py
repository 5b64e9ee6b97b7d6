"""Whole: the current run with every job of it, and the document that `/status` answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from orchestrator.core.job import JobId
from orchestrator.core.run import Run
from orchestrator.status.views import JobView, Status, job_view, plain, run_view
from orchestrator.store import accounts, events, jobs, pins, replicas, runs
from orchestrator.store.connection import AsyncConnection, chunks
from orchestrator.store.database import Database

SCHEMA = 1


async def look(database: Database, now: float) -> Status:
    """The current run and its jobs, as they are."""
    async with database.read() as connection:
        alive = tuple(await replicas.live(connection, now))
        refusal = await replicas.find_refusal(connection, now)
        run = await runs.current(connection)
        if run is None:
            return Status(run=None, replicas=alive, refusal=refusal)
        dataset = await runs.dataset_row(connection, run.dataset_sha256)
        used = await pins.used(connection, run.id)
        twins = await accounts.same_definitions(connection) if run.current else []
        views: list[JobView] = []
        for ids in chunks(await jobs.ids_of_run(connection, run.id)):
            views += await _views(connection, run, ids, now)
    counts = Counter("held" if view.held else view.state for view in views)
    return Status(
        run=run_view(run, dataset, used, twins),
        jobs=tuple(views),
        replicas=alive,
        counts=dict(sorted(counts.items())),
        at=now,
        refusal=refusal,
    )


async def _views(connection: AsyncConnection, run: Run, ids: Sequence[JobId], now: float) -> list[JobView]:
    found = await jobs.by_id(connection, ids)
    standings = await accounts.some(connection, [job.account for job in found.values()])
    latest = await events.newest(connection, ids)
    return [
        job_view(job, run, standing, latest.get(job.id), now)
        for job in filter(None, map(found.get, ids))
        if not ((standing := standings[job.account]).removed_at and job.remote_job_id is None)
    ]


def as_json(status: Status) -> dict[str, Any]:
    """The document of `/status`: plain values, times in ISO 8601. `problem` is what a live replica has stored."""
    return {
        "schema": SCHEMA,
        "run": plain(status.run) if status.run else None,
        "counts": dict(status.counts),
        "settled": status.settled,
        "replicas": [plain(replica) for replica in status.replicas],
        "jobs": [plain(job) for job in status.jobs],
        "problem": asdict(status.refusal.failure) if status.refusal else None,
    }
