"""Operator actions on fine-tuned models that are not alike: accept them by name, and revoke that.

An acceptance is about one model. If the account is trained again, its next model has to be accepted again.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from orchestrator.control.accounts import get_account_states
from orchestrator.control.runs import get_current_run
from orchestrator.core.comparison.gate import ModelAcceptance, find_gate_obstacle
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.run import Run
from orchestrator.core.text import format_list
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries.comparisons import acceptances

_MAX_LISTED_NAMES = 20


async def accept_models(
    database: Database, names: Collection[str], *, reason: str, by: str, now: float, run_name: str | None = None
) -> list[ModelAcceptance]:
    """Accept the present models of these accounts in the current run, with a reason that goes on the record.

    Models that are alike, or accepted already, are skipped. Raises ConfigError if the reason is blank, or an account
    is unknown or has no model, and NothingToDo if every model is skipped.
    """
    if not reason.strip():
        raise ConfigError(
            "an acceptance requires a reason",
            hint="Specify why the model may be used. The reason is stored with the model's id.",
        )
    async with database.transaction() as tx:
        run = await get_current_run(tx.connection, run_name)
        jobs = await _list_jobs(tx.connection, run, names)
        known = await acceptances.load_run_verdicts(tx.connection, run.id)
        accepted = []
        for job in jobs:
            model = job.fine_tuned_model or ""
            comparison = known.find(job.account, model)
            if find_gate_obstacle(model, comparison) is not None:
                latest = comparison.comparison_id if comparison else None
                accepted.append(_build_acceptance(job, run, latest, reason.strip(), by, now))
        if names and not accepted:
            raise NothingToDo(
                f"there is nothing to accept: the models of {_format_names(names)} are alike or accepted already",
                hint="`orchestrator models` lists the models that exports hold.",
            )
        if accepted:
            await acceptances.add(tx, accepted)
            _add_events(tx, accepted, note="model accepted", at=now, cause=by)
        return accepted


async def revoke_acceptances(
    database: Database, names: Collection[str], *, by: str, now: float, run_name: str | None = None
) -> list[ModelAcceptance]:
    """Revoke the acceptances of these accounts in the current run. Returns the revoked ones.

    Raises ConfigError if an account is unknown, and NothingToDo if no model of the accounts is accepted.
    """
    async with database.transaction() as tx:
        run = await get_current_run(tx.connection, run_name)
        await get_account_states(tx.connection, names)
        in_force = await acceptances.list_in_force(tx.connection, run.id)
        revoked = [each for each in in_force if each.account in names]
        if names and not revoked:
            raise NothingToDo(
                f"there is nothing to revoke: no model of {_format_names(names)} is accepted in run {run.name}",
                hint="`orchestrator compare --latest` shows what is accepted.",
            )
        await acceptances.revoke(tx, [each.id for each in revoked], by=by, at=now)
        _add_events(tx, revoked, note="acceptance revoked", at=now, cause=by)
        return revoked


async def _list_jobs(connection: StoreConnection, run: Run, names: Collection[str]) -> list[Job]:
    """Return the accounts' jobs in the run, by account name. Raises ConfigError for an account without a model."""
    await get_account_states(connection, names)
    jobs = {job.account: job for job in await job_queries.list_by_run(connection, run.id)}
    missing = sorted(name for name in set(names) if name not in jobs or jobs[name].fine_tuned_model is None)
    if missing:
        raise ConfigError(
            f"run {run.name} has no model of {_format_names(missing)} that could be accepted",
            hint="Wait until the jobs have succeeded: `orchestrator status` shows their states.",
        )
    return [jobs[name] for name in sorted(set(names))]


def _build_acceptance(
    job: Job, run: Run, comparison_id: str | None, reason: str, by: str, now: float
) -> ModelAcceptance:
    return ModelAcceptance(
        id=uuid4().hex[:16],
        run_id=run.id,
        account=job.account,
        job_id=job.id,
        model=job.fine_tuned_model or "",
        comparison_id=comparison_id,
        reason=reason,
        accepted_by=by,
        accepted_at=now,
    )


def _add_events(tx: Transaction, records: Collection[ModelAcceptance], *, note: str, at: float, cause: str) -> None:
    tx.add_events(
        *(
            EventData(
                at=at,
                cause=cause,
                note=note,
                account=each.account,
                run_id=each.run_id,
                job_id=each.job_id,
                message=f"{each.model}: {each.reason}",
            )
            for each in records
        )
    )


def _format_names(names: Collection[str]) -> str:
    return format_list(sorted(set(names)), limit=_MAX_LISTED_NAMES)
