"""Queries about received provider webhooks. Their ids are stored, so that a repeated webhook has no effect."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from orchestrator.core.jobs.job import Job
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.mapping import JOB_COLUMNS, job_from_row
from orchestrator.store.schema.tables import accounts, jobs, webhooks

WEBHOOK_RETENTION_SECONDS = 3 * 24 * 3600.0  # OpenAI repeats an event for up to three days


async def insert_if_new(tx: Transaction, account: str, webhook_id: str, at: float) -> bool:
    """Store the webhook's id and delete expired ids. Returns False when the id is stored already."""
    same = (webhooks.c.account == account) & (webhooks.c.id == webhook_id)
    if (await tx.connection.execute(select(webhooks.c.at).where(same))).first():
        return False
    await tx.connection.execute(delete(webhooks).where(webhooks.c.at < at - WEBHOOK_RETENTION_SECONDS))
    await tx.connection.execute(insert(webhooks).values(account=account, id=webhook_id, at=at))
    return True


async def find_job(connection: StoreConnection, account: str, remote_job_id: str) -> Job | None:
    """Return the account's job with this remote id, or None."""
    query = select(*JOB_COLUMNS).where(jobs.c.account == account, jobs.c.remote_job_id == remote_job_id)
    row = (await connection.execute(query.limit(1))).first()
    return job_from_row(row) if row else None


async def save_last_webhook(tx: Transaction, account: str, at: float) -> None:
    """Store when the account's latest webhook arrived."""
    await tx.connection.execute(update(accounts).where(accounts.c.name == account).values(webhook_seen_at=at))
