"""Queries about announcements: written with what they tell of, in one transaction, and then addressed to targets."""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, literal, select

from orchestrator.core.announcement import Announcement, of_job, of_run, of_standing, of_warning
from orchestrator.core.job import Job, RunId
from orchestrator.core.lifecycle import ENDS, State
from orchestrator.core.run import Standing
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import accounts, announcements, jobs


async def announce(connection: AsyncConnection, announcement: Announcement) -> None:
    """Have it told to every target of the accounts file that wants its topic, at least once.

    Call it in the change that records what happened: both are committed or neither is. It knows nothing of what was
    announced before: whoever calls it remembers, in the same change, that it was. No key may be in it.
    """
    values = {"at": announcement.at, "topic": announcement.topic.value, "payload": announcement.payload()}
    await connection.execute(_ANNOUNCE, {"id": f"msg_{uuid4().hex}", **values})


async def announce_standing(connection: AsyncConnection, before: Standing, after: Standing, at: float) -> None:
    """Announce a hold that is new."""
    if news := of_standing(before, after, at):
        await announce(connection, news)


async def announce_warning(connection: AsyncConnection, job: Job, at: float) -> None:
    """Announce the job's warning, which is new."""
    await announce(connection, of_warning(job, at))


async def announce_end(connection: AsyncConnection, job: Job, before: State, at: float) -> None:
    """Announce how a job ended, and its run if that was the last open job of it."""
    if news := of_job(job, before, at):
        await announce(connection, news)
    if (await connection.execute(_WAITED_FOR, {"same_id": job.id})).first() is None:
        run = RunId((await connection.execute(_RUN, {"same_id": job.id})).scalar_one())
        await announce(connection, of_run(run, await _ends(connection, run), at))


async def announce_removal(
    connection: AsyncConnection, names: Collection[str], before: RunId, run: RunId, at: float
) -> None:
    """Announce the end of the run if all it waited for was in these accounts, which were removed.

    `before` is the run that was the current one until now: what is left of it in them has not moved over.
    """
    left = jobs.c.account.in_(list(names)) & (jobs.c.run_id == before) & _OPEN & _UNSENT
    if (await connection.execute(select(jobs.c.id).where(left).limit(1))).first() is None:
        return
    if (await connection.execute(_waited_for(literal(run)))).first() is None:
        await announce(connection, of_run(run, await _ends(connection, run), at))


async def _ends(connection: AsyncConnection, run: RunId) -> dict[State, int]:
    counted = select(jobs.c.state, func.count()).where(jobs.c.run_id == run, jobs.c.state.in_(sorted(ENDS)))
    rows = await connection.execute(counted.group_by(jobs.c.state))
    return {State(state): count for state, count in rows}


_OPEN = jobs.c.state.in_(sorted(frozenset(State) - ENDS))
_UNSENT = jobs.c.remote_job_id.is_(None)


def _waited_for(run: ColumnElement[str]) -> Select[tuple[str]]:
    """An open job of the run. What waits in an account that was taken out of the accounts file is not waited for."""
    left_out = accounts.c.removed_at.is_not(None) & _UNSENT
    query = select(jobs.c.id).join(accounts, accounts.c.name == jobs.c.account)
    return query.where(jobs.c.run_id == run, _OPEN, ~left_out).limit(1)


# Made once: to put a statement together takes longer than to execute it.
_ANNOUNCE = insert(announcements)
_ended = jobs.alias("ended")
_RUN = select(_ended.c.run_id).where(_ended.c.id == bindparam("same_id"))
_WAITED_FOR = _waited_for(_RUN.scalar_subquery())
