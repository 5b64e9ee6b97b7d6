"""Queries about webhooks that came in: by their ids, so that one that is sent again does nothing."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from orchestrator.core.job import Job
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.rows import JOB_COLUMNS, job_from
from orchestrator.store.tables import accounts, jobs, webhooks

REMEMBERED = 3 * 24 * 3600.0  # seconds; OpenAI sends an event again for up to three days


async def remember(connection: AsyncConnection, account: str, webhook_id: str, at: float) -> bool:
    """Keep its id, and forget those of old. False: it came before."""
    same = (webhooks.c.account == account) & (webhooks.c.id == webhook_id)
    if (await connection.execute(select(webhooks.c.at).where(same))).first():
        return False
    await connection.execute(delete(webhooks).where(webhooks.c.at < at - REMEMBERED))
    await connection.execute(insert(webhooks).values(account=account, id=webhook_id, at=at))
    return True


async def subject(connection: AsyncConnection, account: str, remote_job_id: str) -> Job | None:
    """The account's job that the provider knows by this id."""
    query = select(*JOB_COLUMNS).where(jobs.c.account == account, jobs.c.remote_job_id == remote_job_id)
    row = (await connection.execute(query.limit(1))).first()
    return job_from(row) if row else None


async def seen(connection: AsyncConnection, account: str, at: float) -> None:
    """Note that the account's webhooks arrive."""
    await connection.execute(update(accounts).where(accounts.c.name == account).values(webhook_seen_at=at))
