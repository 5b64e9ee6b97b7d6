"""Operator actions on one current run: start it, approve its price, waive its moderation."""

from __future__ import annotations

from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.structs import replace
from orchestrator.core.text import format_list
from orchestrator.inputs.accounts_file.problems import format_suggestion
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries import runs as run_queries


async def start(database: Database, *, by: str, now: float, run_name: str | None = None) -> Run:
    """Allow the current run's ready jobs to be submitted. Starting a started run changes nothing."""
    async with database.transaction() as tx:
        run = await get_current_run(tx.connection, run_name)
        if run.started_at is None:
            run = replace(run, started_at=now)
            await run_queries.save(tx, run)
            tx.add_events(EventData(at=now, cause=by, note="started", run_id=run.id))
        await job_queries.wake_unsubmitted(tx, run.id, now)
        return run


async def approve(database: Database, *, by: str, now: float, run_name: str | None = None) -> Run:
    """Approve the price of the current run. The approval covers prices up to the one planned now.

    Raises NothingToDo when the run is not held because of its price.
    """
    async with database.transaction() as tx:
        run = await get_current_run(tx.connection, run_name)
        if run.hold is None:
            raise _nothing_to_approve_error(run)
        run = replace(run, hold=None, approved_at=now, approved_by=by, approved_usd=run.planned_usd)
        await run_queries.save(tx, run)
        tx.add_events(EventData(at=now, cause=by, note="approved", run_id=run.id))
        await job_queries.wake_unsubmitted(tx, run.id, now)
        return run


async def waive_moderation(
    database: Database, *, reason: str, by: str, now: float, run_name: str | None = None
) -> Run:
    """Continue the current run without moderation, and record who waived it, when and why.

    Raises ConfigError when the reason is blank, and NothingToDo when the chats passed moderation: a waiver never
    replaces that record.
    """
    if not reason.strip():
        raise ConfigError(
            "a waiver of moderation requires a reason",
            hint="Specify why no moderation is needed. The reason is stored with the run.",
        )

    async with database.transaction() as tx:
        run = await get_current_run(tx.connection, run_name)
        if run.moderation is not None and run.moderation.state is ModerationStatus.PASSED:
            raise NothingToDo(
                f"there is nothing to waive: the chats of run {run.id} passed moderation "
                f"({run.moderation.texts:,} texts)",
                hint="`orchestrator status` shows what else holds the run, if anything does.",
            )
        waived = Moderation(state=ModerationStatus.WAIVED, by=by, at=now, reason=reason)
        run = replace(run, moderation=waived)
        await run_queries.save(tx, run)
        tx.add_events(EventData(at=now, cause=by, note="moderation waived", run_id=run.id, message=reason))
        await job_queries.wake_unsubmitted(tx, run.id, now)
        return run


async def get_current_run(connection: StoreConnection, name: str | None = None) -> Run:
    """Return the current run with this name or id, or the only current run.

    Raises ConfigError when there is none yet, when none has the name, and when there are several and no name.
    """
    current = await run_queries.list_current(connection)
    if not current:
        raise ConfigError("there is no run yet", hint="Start one with `orchestrator run` or `orchestrator serve`.")
    names = [run.name for run in current]
    hint = f"The runs are: {format_list(sorted(names))}."
    if name is None and len(current) > 1:
        raise ConfigError(
            f"the accounts file describes {len(current)} runs, and the action applies to one of them",
            hint=f"Choose it with --run NAME (in the API: ?run=NAME). {hint}",
        )
    selected = [run for run in current if name in {None, run.name, run.id}]
    if not selected:
        raise ConfigError(f'there is no current run "{name}"{format_suggestion(name or "", names)}', hint=hint)
    return selected[0]


def _nothing_to_approve_error(run: Run) -> NothingToDo:
    if run.holds:
        return NothingToDo(
            f"there is nothing to approve: run {run.id} is held for another reason: {run.holds[0].reason}",
            hint=run.holds[0].hint,
        )
    approved = f"; it was approved by {run.approved_by}" if run.approved_by else ""
    return NothingToDo(
        f"there is nothing to approve: run {run.id} is not held{approved}",
        hint="`orchestrator status` shows what each account waits for; held accounts need `orchestrator release`.",
    )
