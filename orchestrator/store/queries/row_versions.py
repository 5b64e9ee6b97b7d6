"""Queries about marks: what changes whenever the line of a job would."""

from __future__ import annotations

from functools import reduce
from typing import Final

from sqlalchemy import ColumnElement, Text, bindparam, cast, func, select

from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.tables import accounts, jobs, run_jobs

FIELD_SEPARATOR: Final = "\x1f"
ROW_SEPARATOR: Final = "\x1e"


async def list_by_run(connection: StoreConnection, run_id: RunId) -> list[str]:
    """The mark of each job of the run that is to be seen, by account name.

    They come as one text: ten thousand rows of ten values take several times as long.
    """
    text: str | None = (await connection.execute(_SELECT_ROW_VERSIONS, {"run": run_id})).scalar_one()
    return sorted(text.split(ROW_SEPARATOR)) if text else []


def job_id_from_row_version(row_version: str) -> JobId:
    """Whose mark it is."""
    return JobId(row_version.split(FIELD_SEPARATOR, 2)[1])


_VERSION_COLUMNS = (
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
_texts: list[ColumnElement[str]] = [func.coalesce(cast(part, Text), "") for part in _VERSION_COLUMNS]
_row_version = reduce(lambda told, text: told.concat(FIELD_SEPARATOR).concat(text), _texts)
_is_visible = accounts.c.removed_at.is_(None) | jobs.c.remote_job_id.is_not(None)
_SELECT_ROW_VERSIONS = (
    select(func.aggregate_strings(_row_version, ROW_SEPARATOR))
    .select_from(run_jobs)
    .join(jobs, run_jobs.c.job_id == jobs.c.id)
    .join(accounts, accounts.c.name == jobs.c.account)
    .where(run_jobs.c.run_id == bindparam("run"), _is_visible)
)
