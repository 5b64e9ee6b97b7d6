"""Changes of a run's moderation record by the service and by operators, each in one transaction."""

from __future__ import annotations

from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation, ModerationProgress, ModerationStatus
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import jobs, replicas, runs


def is_moderation_open(run: Run | None) -> bool:
    """Whether the run is current and its chats are neither judged nor waived."""
    return bool(run and run.current and run.moderation and run.moderation.state is ModerationStatus.MISSING)


async def claim_moderation(
    database: Database, run_id: RunId, *, replica: str, now: float, at_once: bool = False
) -> Moderation | None:
    """Claim a moderation that is due for this replica, unless another live replica works on it.

    Returns the current record, which is this replica's if `progress.replica` names it, or None when there is nothing
    left to moderate. With `at_once` the time of the next attempt is ignored.
    """
    async with database.transaction() as tx:
        run = await runs.find(tx.connection, run_id)
        if run is None or not is_moderation_open(run) or run.moderation is None:
            return None
        record, progress = run.moderation, run.moderation.progress
        if progress is None or (not at_once and (progress.retry_at or 0) > now):
            return record
        live_ids = {replica.id for replica in await replicas.list_live(tx.connection, now)}
        # One process owns a SQLite database: a claim by another one is a leftover of a process that has ended.
        if not database.is_sqlite and progress.replica != replica and progress.replica in live_ids:
            return record
        claimed = replace(record, progress=replace(progress, replica=replica, retry_at=None))
        await runs.save(tx, replace(run, moderation=claimed))
        return claimed


async def save_moderation(database: Database, run_id: RunId, record: Moderation, *, now: float) -> bool:
    """Store the result or the progress of a moderation.

    Returns False, and changes nothing, when it was waived meanwhile or the run is not the current one.
    """
    async with database.transaction() as tx:
        run = await runs.find(tx.connection, run_id)
        if run is None or not is_moderation_open(run):
            return False
        await runs.save(tx, replace(run, moderation=record))
        if record.progress is None:
            note = "moderation passed" if record.state is ModerationStatus.PASSED else "moderation refused"
            tx.add_events(EventData(at=now, cause="service", note=note, run_id=run_id, message=record.reason or None))
        if record.hold is None:
            await jobs.wake_unsubmitted(tx, run_id, now)
        return True


async def request_moderation(tx: Transaction, *, by: str, now: float) -> bool:
    """Have the service moderate the current runs now whose moderation is open. Returns whether there is one."""
    requested = [await _request_moderation(tx, run, by, now) for run in await runs.list_current(tx.connection)]
    return any(requested)


async def _request_moderation(tx: Transaction, run: Run, by: str, now: float) -> bool:
    if not is_moderation_open(run) or run.moderation is None:
        return False
    progress = run.moderation.progress or ModerationProgress()
    if run.moderation.progress is None or progress.retry_at is not None:  # otherwise it is in progress
        due = replace(run.moderation, progress=replace(progress, retry_at=None, attempts=0))
        await runs.save(tx, replace(run, moderation=due))
        tx.add_events(EventData(at=now, cause=by, note="moderation requested", run_id=run.id))
    return True
