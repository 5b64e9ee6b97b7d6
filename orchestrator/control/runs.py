"""Operator actions on one current run: start it, approve its price, waive its moderation."""

# Theory of operation. A reload of the accounts file may replace a run or change its price while an operator reads a
# dialog. What the dialog has shown (`Confirmation`) is therefore compared in the transaction of the action: before
# it, there would be a gap in which the operator confirms something that nobody has seen.

from __future__ import annotations

from collections.abc import Iterable
from math import isclose
from typing import Final, Self

from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count, format_list
from orchestrator.inputs.accounts_file.problems import format_suggestion
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries import runs as run_queries

RECONFIRM_HINT: Final = "Reload and confirm again."


class ShownPrice(Struct, frozen=True, kw_only=True):
    """An estimated price as an operator was shown it."""

    usd: float | None
    """In US dollars; None: it was shown as unknown."""
    unpriced: int = 0
    """Number of jobs without a known price, which `usd` does not include."""

    @classmethod
    def from_jobs(cls, jobs: Iterable[Job]) -> Self:
        """Return the price of these jobs."""
        prices = [job.estimated_usd for job in jobs]
        return cls(usd=sum(usd for usd in prices if usd is not None), unpriced=prices.count(None))

    def is_same(self, other: ShownPrice) -> bool:
        """Return whether both are the same price."""
        if self.usd is None or other.usd is None:
            return self.usd is other.usd
        return self.unpriced == other.unpriced and isclose(self.usd, other.usd, abs_tol=1e-9)

    def __str__(self) -> str:
        price = "unknown" if self.usd is None else f"{self.usd} USD"
        return f"{price} and {format_count(self.unpriced, 'job')} without a known price" if self.unpriced else price


class Confirmation(Struct, frozen=True, kw_only=True):
    """What an operator was shown. What was not shown is not compared."""

    run_id: str = ""
    """Id of the run. A run with the same name and another dataset or other options has another id."""
    price: ShownPrice | None = None

    def require_run(self, run: Run) -> None:
        """Raise ConfigError if the operator was shown another run."""
        if self.run_id and run.id != self.run_id:
            raise ConfigError(
                f"Run {run.name} was replaced: now {run.id}, expected {self.run_id}. Its chats or its training "
                "options have changed.",
                hint=RECONFIRM_HINT,
            )

    def require_price(self, current: ShownPrice) -> None:
        """Raise ConfigError if the operator was shown another price."""
        if self.price is not None and not self.price.is_same(current):
            raise ConfigError(f"The price changed: now {current}, expected {self.price}.", hint=RECONFIRM_HINT)


NOTHING_SHOWN: Final = Confirmation()


async def start(
    database: Database, *, by: str, now: float, run_name: str | None = None, confirmed: Confirmation = NOTHING_SHOWN
) -> Run:
    """Allow the current run's ready jobs to be submitted. Starting a started run changes nothing.

    Raises ConfigError when the run or its price is no longer the one that was confirmed.
    """
    async with database.transaction() as tx:
        run = await _get_confirmed_run(tx.connection, run_name, confirmed)
        if run.started_at is None:
            run = replace(run, started_at=now)
            await run_queries.save(tx, run)
            tx.add_events(EventData(at=now, cause=by, note="started", run_id=run.id))
        await job_queries.wake_unsubmitted(tx, run.id, now)
        return run


async def approve(
    database: Database, *, by: str, now: float, run_name: str | None = None, confirmed: Confirmation = NOTHING_SHOWN
) -> Run:
    """Approve the price of the current run. The approval covers prices up to the one planned now.

    Raises NothingToDo when the run is not held because of its price, and ConfigError when the run or its price is no
    longer the one that was confirmed.
    """
    async with database.transaction() as tx:
        run = await _get_confirmed_run(tx.connection, run_name, confirmed)
        if run.hold is None:
            raise _nothing_to_approve_error(run)
        # The run keeps its latest approval only. The history keeps the reason of each hold, which names the price.
        tx.add_events(EventData(at=now, cause=by, note="approved", run_id=run.id, message=run.hold.reason))
        run = replace(run, hold=None, approved_at=now, approved_by=by, approved_usd=run.planned_usd)
        await run_queries.save(tx, run)
        await job_queries.wake_unsubmitted(tx, run.id, now)
        return run


async def waive_moderation(
    database: Database,
    *,
    reason: str,
    by: str,
    now: float,
    run_name: str | None = None,
    confirmed: Confirmation = NOTHING_SHOWN,
) -> Run:
    """Continue the current run without moderation, and record who waived it, when and why.

    Raises ConfigError when the reason is blank or the run is no longer the one that was confirmed, and NothingToDo
    when the chats passed moderation: a waiver never replaces that record.
    """
    if not reason.strip():
        raise ConfigError(
            "a waiver of moderation requires a reason",
            hint="Specify why no moderation is needed. The reason is stored with the run.",
        )

    async with database.transaction() as tx:
        run = await _get_confirmed_run(tx.connection, run_name, confirmed)
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


async def _get_confirmed_run(connection: StoreConnection, name: str | None, confirmed: Confirmation) -> Run:
    """Return the current run with this name. Raises ConfigError if it or its price is not what was confirmed."""
    run = await get_current_run(connection, name)
    confirmed.require_run(run)
    confirmed.require_price(ShownPrice(usd=run.planned_usd))
    return run


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
