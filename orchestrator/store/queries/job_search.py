"""Queries about the jobs of a run that a selection means: a page of them, how they stand, what keeps them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from sqlalchemy import ColumnElement, and_, case, exists, func, select

from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.run import Run
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.queries.costs import CREATED_USD, IS_CREATED
from orchestrator.store.queries.job_search_sql import HELD, JobsQuery, has_own_hold, labels_json
from orchestrator.store.schema.mapping import ACCOUNT_STATE_COLUMNS, JOB_COLUMNS, account_state_from_row, job_from_row
from orchestrator.store.schema.tables import accounts, jobs, losses, run_jobs

MAX_NAMED_ACCOUNTS: Final = 5  # accounts that are named of a cause


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCount:
    """The jobs of one provider in one state, or held: how many, their price, and what tells when they end.

    `usd` is the sum of the prices that are known, `submitted_usd` of what was created at the provider; `unknown`
    counts the created jobs of which no price is known. `lasted` is how long those that succeeded took, on average, in
    seconds.
    """

    provider: str
    state: str
    count: int
    usd: float
    submitted_usd: float
    unknown: int
    lasted: float | None
    last_submitted: float | None
    estimated_finish: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemGroup:
    """What keeps or ended several jobs: an example of it, how many they are, and how many messages there are.

    `accounts` are the first of them, by name.
    """

    error: Failure
    held: bool
    count: int
    message_count: int
    accounts: tuple[str, ...]


async def list_page(
    connection: StoreConnection,
    run: Run,
    job_filter: JobFilter,
    now: float,
    *,
    limit: int,
    after: tuple[str, str] = ("", ""),
    skip: int = 0,
) -> list[tuple[Job, AccountState]]:
    """The jobs by account name, with their accounts' standings: those `after` an account and a job id."""
    query = JobsQuery(run, now).select_jobs(job_filter, *JOB_COLUMNS, *ACCOUNT_STATE_COLUMNS)
    account, job = after
    later = (jobs.c.account > account) | (jobs.c.account == account) & (jobs.c.id > job)
    query = query.where(later).order_by(jobs.c.account, jobs.c.id).limit(limit).offset(skip)
    cut = len(JOB_COLUMNS)
    return [(job_from_row(row[:cut]), account_state_from_row(row[cut:])) for row in await connection.execute(query)]


async def count(connection: StoreConnection, run: Run, job_filter: JobFilter, now: float) -> int:
    """How many jobs there are."""
    total: int = (await connection.execute(JobsQuery(run, now).select_jobs(job_filter, func.count()))).scalar_one()
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCandidate:
    """What says of a job whether something can be asked of it, and at what price.

    `kind` is that of the error that is shown; `sent` is whether the provider was given the job.
    """

    account: str
    state: str
    held: bool
    kind: str | None
    sent: bool
    usd: float | None


async def list_candidates(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float
) -> list[ActionCandidate]:
    """The marks of the jobs, by account name."""
    sight = JobsQuery(run, now)
    columns = (
        jobs.c.account,
        jobs.c.state,
        sight.held.label("held"),
        sight.error_part("kind").label("kind"),
        jobs.c.submitted_at.is_not(None).label("sent"),
        jobs.c.estimated_usd.label("usd"),
    )
    rows = await connection.execute(sight.select_jobs(job_filter, *columns).order_by(jobs.c.account))
    return [ActionCandidate(**{**row._mapping, "held": bool(row.held), "sent": bool(row.sent)}) for row in rows]


async def get_state_counts(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float
) -> list[StateCount]:
    """How the jobs stand, by provider and state."""
    sight = JobsQuery(run, now)
    price = jobs.c.estimated_usd
    chosen = sight.select_jobs(
        job_filter,
        jobs.c.provider,
        sight.displayed_state.label("state"),
        price.label("usd"),
        CREATED_USD.label("submitted_usd"),
        case((and_(IS_CREATED, price.is_(None)), 1)).label("unknown"),
        case((jobs.c.state == JobState.SUCCEEDED, jobs.c.finished_at - jobs.c.submitted_at)).label("lasted"),
        jobs.c.submitted_at,
        jobs.c.estimated_finish,
    ).subquery()  # grouped outside, where an expression with bound values has a name
    query = select(
        chosen.c.provider,
        chosen.c.state,
        func.count().label("count"),
        func.coalesce(func.sum(chosen.c.usd), 0.0).label("usd"),
        func.coalesce(func.sum(chosen.c.submitted_usd), 0.0).label("submitted_usd"),
        func.count(chosen.c.unknown).label("unknown"),
        func.avg(chosen.c.lasted).label("lasted"),
        func.max(chosen.c.submitted_at).label("last_submitted"),
        func.max(chosen.c.estimated_finish).label("estimated_finish"),
    )
    rows = await connection.execute(query.group_by(chosen.c.provider, chosen.c.state))
    return [StateCount(**row._mapping) for row in rows]


async def list_problem_groups(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int = 50
) -> list[ProblemGroup]:
    """What waits for a person, the most frequent first. What holds the whole run is told of the run, not here."""
    sight = JobsQuery(run, now)
    columns: list[ColumnElement[str]] = [jobs.c.account]
    columns += [sight.error_part(part).label(part) for part in ("kind", "message", "hint")]
    columns += [sight.general_hint().label("general"), sight.displayed_state.label("shown")]
    each = sight.select_jobs(job_filter, *columns).where(sight.needs_attention).subquery()
    alike = func.count()
    query = select(
        each.c.kind,
        each.c.general,
        func.min(each.c.message),
        func.min(each.c.hint),
        func.min(each.c.shown),
        alike,
        func.count(each.c.message.distinct()),
        func.aggregate_strings(each.c.account, "\n"),
    )
    query = query.group_by(each.c.kind, each.c.general).order_by(alike.desc(), each.c.kind, each.c.general)
    rows = await connection.execute(query.limit(limit))
    return [
        ProblemGroup(
            error=Failure(kind or "unknown", message or "no reason was recorded", hint if alone == 1 else general),
            held=shown == HELD,
            count=alone,
            message_count=messages,
            accounts=tuple(nsmallest(MAX_NAMED_ACCOUNTS, accounts.split("\n"))),
        )
        for kind, general, message, hint, shown, alone, messages, accounts in rows
    ]


async def list_warning_groups(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int = 10
) -> list[ProblemGroup]:
    """The open jobs that go on and need a look, by the kind of their warning, the most frequent first."""
    kind, message, hint = (jobs.c.warning[part].as_string().label(part) for part in ("kind", "message", "hint"))
    chosen = JobsQuery(run, now).select_jobs(job_filter, jobs.c.account, kind, message, hint)
    goes_on = and_(jobs.c.hold.is_(None), jobs.c.state.not_in(TERMINAL_STATES))  # what is held is a cause already
    each = chosen.where(jobs.c.warning.is_not(None), goes_on).subquery()
    alike = func.count()
    query = select(
        each.c.kind,
        func.min(each.c.message),
        func.min(each.c.hint),
        alike,
        func.count(each.c.message.distinct()),
        func.aggregate_strings(each.c.account, "\n"),
    )
    query = query.group_by(each.c.kind).order_by(alike.desc(), each.c.kind)
    return [
        ProblemGroup(
            error=Failure(kind, message, hint),
            held=False,
            count=alone,
            message_count=messages,
            accounts=tuple(nsmallest(MAX_NAMED_ACCOUNTS, accounts.split("\n"))),
        )
        for kind, message, hint, alone, messages, accounts in await connection.execute(query.limit(limit))
    ]


async def get_loss_curves(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int
) -> dict[str, list[Loss]]:
    """The losses of the first jobs that have some, by account."""
    known = exists().where(losses.c.job_id == jobs.c.id)
    chosen = JobsQuery(run, now).select_jobs(job_filter, jobs.c.id, jobs.c.account).where(known)
    first = chosen.order_by(jobs.c.account, jobs.c.id).limit(limit).subquery()
    query = select(first.c.account, losses.c.step, losses.c.training_loss, losses.c.validation_loss)
    query = query.join(losses, losses.c.job_id == first.c.id).order_by(first.c.account, losses.c.step)
    found: dict[str, list[Loss]] = {}
    for account, *point in await connection.execute(query):
        found.setdefault(account, []).append(Loss(*point))
    return found


async def list_labels(connection: StoreConnection, run: Run, now: float) -> list[str]:
    """Every label that an account of the run has."""
    query = JobsQuery(run, now).select_jobs(JobFilter(), labels_json()).distinct()
    found = [json.loads(text) for text in (await connection.execute(query)).scalars()]
    return sorted({label for each in found for label in each})


async def count_states_by_run(
    connection: StoreConnection, runs: Sequence[Run], now: float
) -> dict[RunId, dict[str, int]]:
    """How many jobs of each run are in which state; those that are set aside as "held"."""
    by_run = {run.id: JobsQuery(run, now) for run in runs}
    each = (
        select(run_jobs.c.run_id, jobs.c.state, has_own_hold(now).label("own"))
        .join(jobs, jobs.c.id == run_jobs.c.job_id)
        .join(accounts, accounts.c.name == jobs.c.account)
    ).subquery()  # grouped outside, where an expression with bound values has a name
    alike = (each.c.run_id, each.c.state, each.c.own)
    counts: dict[RunId, Counter[str]] = {}
    for run_id, state, held, count in await connection.execute(select(*alike, func.count()).group_by(*alike)):
        shown = HELD if by_run[run_id].is_held(JobState(state), own=bool(held)) else state
        counts.setdefault(run_id, Counter())[shown] += count
    return {run_id: dict(found) for run_id, found in counts.items()}
