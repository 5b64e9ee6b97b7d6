"""Row versions: a text for each job of a run that changes whenever the job's line in `/status` would.

The status cache (status/cache/status_cache.py) keeps encoded lines by row version. Every column that a line shows
must be either in _VERSION_COLUMNS or written only together with a new `version` of the job.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

from sqlalchemy import ColumnElement, Integer, Text, bindparam, cast, func, select

from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.tables import accounts, deployments, jobs, run_jobs

FIELD_SEPARATOR: Final = "\x1f"  # "unit separator": occurs in no name, label or hold
ROW_SEPARATOR: Final = "\x1e"
ROWS_PER_PAGE: Final = 10_000


async def list_by_run(connection: StoreConnection, run_id: RunId) -> list[str]:
    """Return the row versions of the run's visible jobs, by account name.

    The database joins those of a page into one text: fetching ten thousand rows of ten values takes several times as
    long, and one text of all jobs would be 20 MB for 100,000 jobs, which the process keeps.
    """
    found: list[str] = []
    last: str | None = ""
    while last is not None:
        values = {"run": run_id, "after": last, "limit": ROWS_PER_PAGE}
        text, last = (await connection.execute(_SELECT_ROW_VERSIONS, values)).one()
        found += text.split(ROW_SEPARATOR) if text else ()
    return sorted(found)


def job_id_from_row_version(row_version: str) -> JobId:
    """Return the id of the job that the row version belongs to."""
    return JobId(row_version.split(FIELD_SEPARATOR, 2)[1])


def account_from_row_version(row_version: str) -> str:
    """Return the name of the account of the job that the row version belongs to."""
    return row_version.split(FIELD_SEPARATOR, 1)[0]


# The deployments of a job change without a new version of the job. Their versions only grow, and no row is deleted.
_deployed_versions = (
    select(func.sum(deployments.c.version)).where(deployments.c.job_id == jobs.c.id).scalar_subquery()
)
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
    _deployed_versions,
)
_texts: list[ColumnElement[str]] = [func.coalesce(cast(part, Text), "") for part in _VERSION_COLUMNS]
_row_version = reduce(lambda joined, text: joined.concat(FIELD_SEPARATOR).concat(text), _texts)
_is_visible = accounts.c.removed_at.is_(None) | jobs.c.remote_job_id.is_not(None)
_page = (
    select(_row_version.label("version"), run_jobs.c.job_id)
    .select_from(run_jobs)
    .join(jobs, run_jobs.c.job_id == jobs.c.id)
    .join(accounts, accounts.c.name == jobs.c.account)
    .where(run_jobs.c.run_id == bindparam("run"), run_jobs.c.job_id > bindparam("after"), _is_visible)
    .order_by(run_jobs.c.job_id)
    .limit(bindparam("limit", type_=Integer))
    .subquery("page")
)
_SELECT_ROW_VERSIONS = select(func.aggregate_strings(_page.c.version, ROW_SEPARATOR), func.max(_page.c.job_id))
