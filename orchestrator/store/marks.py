"""Queries about marks: what changes whenever the line of a job would."""

from __future__ import annotations

from functools import reduce
from typing import Final

from sqlalchemy import ColumnElement, Text, bindparam, cast, func, select

from orchestrator.core.job import JobId, RunId
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import accounts, jobs, run_jobs

BETWEEN: Final = "\x1f"
AFTER: Final = "\x1e"


async def of_run(connection: AsyncConnection, run_id: RunId) -> list[str]:
    """The mark of each job of the run that is to be seen, by account name.

    They come as one text: ten thousand rows of ten values take several times as long.
    """
    text: str | None = (await connection.execute(_MARKS, {"run": run_id})).scalar_one()
    return sorted(text.split(AFTER)) if text else []


def job_of(mark: str) -> JobId:
    """Whose mark it is."""
    return JobId(mark.split(BETWEEN, 2)[1])


_PARTS = (
    jobs.c.account,
    jobs.c.id,
    jobs.c.version,
    jobs.c.estimated_usd,
    jobs.c.retires_on,
    jobs.c.gone_at,
    accounts.c.organization,
    accounts.c.removed_at,
    accounts.c.labels,
    accounts.c.hold,
)
_texts: list[ColumnElement[str]] = [func.coalesce(cast(part, Text), "") for part in _PARTS]
_mark = reduce(lambda told, text: told.concat(BETWEEN).concat(text), _texts)
_seen = accounts.c.removed_at.is_(None) | jobs.c.remote_job_id.is_not(None)
_MARKS = (
    select(func.aggregate_strings(_mark, AFTER))
    .select_from(run_jobs)
    .join(jobs, run_jobs.c.job_id == jobs.c.id)
    .join(accounts, accounts.c.name == jobs.c.account)
    .where(run_jobs.c.run_id == bindparam("run"), _seen)
)
