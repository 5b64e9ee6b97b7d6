"""Queries about the jobs of a run that match a filter: pages, counts by state, groups of problems."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from heapq import nsmallest
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, case, func, or_, select, union

from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import DEFAULT_ORDER, JobSortOrder
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.queries.costs import CREATED_USD, IS_CREATED
from orchestrator.store.queries.job_search_sql import (
    HELD,
    STOPPED_ACCOUNTS,
    JobsQuery,
    has_own_hold,
    is_hold_active,
    labels_json,
)
from orchestrator.store.schema.mapping import ACCOUNT_STATE_COLUMNS, JOB_COLUMNS, account_state_from_row, job_from_row
from orchestrator.store.schema.tables import accounts, jobs, run_jobs

MAX_NAMED_ACCOUNTS: Final = 5  # accounts named in a problem group

MAX_SAMPLED_ACCOUNTS: Final = 500  # whose labels are read first


class StateCount(Struct, frozen=True, kw_only=True):
    """The jobs of one provider in one state: their number, price and times."""

    provider: str
    state: str
    """The job's state, or "held"."""
    count: int
    usd: float
    """Sum of the known prices."""
    submitted_usd: float
    """Sum of the known prices of jobs that were created at the provider."""
    unknown: int
    """Number of created jobs without a known price."""
    unpriced: int = 0
    """Number of all jobs without a known price."""
    lasted: float | None
    """Mean duration of succeeded jobs, in seconds."""
    last_submitted: float | None
    """Latest submission, in epoch seconds."""
    estimated_finish: float | None
    """Latest end by the providers' own estimates, in epoch seconds."""
    first_retirement: date | None = None
    """Earliest day on which one of the models retires."""


class ProblemGroup(Struct, frozen=True, kw_only=True):
    """Jobs with the same problem (error kind and hint)."""

    error: Failure
    """The problem of one of these jobs, as an example."""
    held: bool
    """Whether the jobs are on hold; otherwise they have failed or have a warning."""
    count: int
    message_count: int
    """Number of different messages among the jobs."""
    accounts: tuple[str, ...]
    """The first accounts by name, at most MAX_NAMED_ACCOUNTS."""


async def list_page(
    connection: StoreConnection,
    run: Run,
    job_filter: JobFilter,
    now: float,
    *,
    limit: int,
    after: tuple[str, str] = ("", ""),
    skip: int = 0,
    order: JobSortOrder = DEFAULT_ORDER,
) -> list[tuple[Job, AccountState]]:
    """Return matching jobs with their accounts' states in this order.

    `after` is an account name and a job id, and requires the default order, by account name.
    """
    jobs_query = JobsQuery(run, now)
    columns = (*JOB_COLUMNS, *ACCOUNT_STATE_COLUMNS)
    query = jobs_query.select_jobs(job_filter, *columns, with_accounts=True, is_partial=True)
    account, job = after
    later = (jobs.c.account > account) | (jobs.c.account == account) & (jobs.c.id > job)
    query = query.where(later).order_by(*jobs_query.order_by(order)).limit(limit).offset(skip)
    width = len(JOB_COLUMNS)
    return [
        (job_from_row(row[:width]), account_state_from_row(row[width:])) for row in await connection.execute(query)
    ]


async def count(connection: StoreConnection, run: Run, job_filter: JobFilter, now: float) -> int:
    """Count the matching jobs."""
    total: int = (await connection.execute(JobsQuery(run, now).select_jobs(job_filter, func.count()))).scalar_one()
    return total


async def list_account_page(
    connection: StoreConnection, runs: Sequence[Run], job_filter: JobFilter, now: float, *, limit: int, skip: int = 0
) -> tuple[list[str], int]:
    """Return a page of the accounts that have a matching job in one of the runs, by name, and the number of all."""
    if not runs:
        return [], 0

    def select_accounts(*, is_partial: bool) -> Select[Any] | CompoundSelect[Any]:
        queries = [JobsQuery(run, now).select_jobs(job_filter, jobs.c.account, is_partial=is_partial) for run in runs]
        return union(*queries) if len(queries) > 1 else queries[0].distinct()

    every = select_accounts(is_partial=False).subquery()
    total = (await connection.execute(select(func.count()).select_from(every))).scalar_one()
    page = select_accounts(is_partial=len(runs) == 1)  # a union is read as a whole
    names = await connection.execute(page.order_by(page.selected_columns.account).limit(limit).offset(skip))
    return list(names.scalars()), total


class ActionCandidate(Struct, frozen=True, kw_only=True):
    """A job with what decides whether an operator action applies to it."""

    account: str
    state: str
    held: bool
    """Whether the job does not proceed, or its account is on hold, which outlives the job."""
    kind: str | None
    """Kind of the account's hold, which comes first here; else kind of the displayed error."""
    sent: bool
    """Whether the job was submitted."""
    removed: bool
    """Whether the account is no longer in the accounts file."""
    usd: float | None
    """Estimated price; None when unknown."""


async def list_candidates(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float
) -> list[ActionCandidate]:
    """Return the matching jobs as candidates of an operator action, by account name."""
    jobs_query = JobsQuery(run, now)
    account_held = is_hold_active(accounts, now)
    account_kind = accounts.c.hold["kind"].as_string()
    columns = (
        jobs.c.account,
        jobs.c.state,
        or_(jobs_query.held, account_held).label("held"),
        case((account_held, account_kind), else_=jobs_query.error_part("kind")).label("kind"),
        jobs.c.submitted_at.is_not(None).label("sent"),
        accounts.c.removed_at.is_not(None).label("removed"),
        jobs.c.estimated_usd.label("usd"),
    )
    query = jobs_query.select_jobs(job_filter, *columns, with_accounts=True)
    rows = await connection.execute(query.order_by(jobs.c.account))
    flags = ("held", "sent", "removed")  # SQLite returns integers
    return [ActionCandidate(**{**row._mapping, **{flag: bool(row._mapping[flag]) for flag in flags}}) for row in rows]


async def get_state_counts(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float
) -> list[StateCount]:
    """Count the matching jobs by provider and state."""
    jobs_query = JobsQuery(run, now)
    price = jobs.c.estimated_usd
    matching = jobs_query.select_jobs(
        job_filter,
        jobs.c.provider,
        jobs_query.displayed_state.label("state"),
        price.label("usd"),
        CREATED_USD.label("submitted_usd"),
        case((and_(IS_CREATED, price.is_(None)), 1)).label("unknown"),
        case((jobs.c.state == JobState.SUCCEEDED, jobs.c.finished_at - jobs.c.submitted_at)).label("lasted"),
        jobs.c.submitted_at,
        jobs.c.estimated_finish,
        jobs.c.retires_on,
    ).subquery()  # grouped outside, where an expression with bound values has a name
    query = select(
        matching.c.provider,
        matching.c.state,
        func.count().label("count"),
        func.coalesce(func.sum(matching.c.usd), 0.0).label("usd"),
        func.coalesce(func.sum(matching.c.submitted_usd), 0.0).label("submitted_usd"),
        func.count(matching.c.unknown).label("unknown"),
        (func.count() - func.count(matching.c.usd)).label("unpriced"),
        func.avg(matching.c.lasted).label("lasted"),
        func.max(matching.c.submitted_at).label("last_submitted"),
        func.max(matching.c.estimated_finish).label("estimated_finish"),
        func.min(matching.c.retires_on).label("first_retirement"),
    )
    rows = await connection.execute(query.group_by(matching.c.provider, matching.c.state))
    return [StateCount(**row._mapping) for row in rows]


async def count_by_state(connection: StoreConnection, run: Run, job_filter: JobFilter, now: float) -> dict[str, int]:
    """Count the matching jobs by displayed state."""
    jobs_query = JobsQuery(run, now)
    each = jobs_query.select_jobs(job_filter, jobs_query.displayed_state.label("state")).subquery()
    rows = await connection.execute(select(each.c.state, func.count()).group_by(each.c.state))
    return dict(map(tuple, rows))


async def list_problem_groups(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int = 50
) -> list[ProblemGroup]:
    """Return failed and held jobs by problem, the most frequent first. Holds of the whole run are not included."""
    jobs_query = JobsQuery(run, now)
    columns: list[ColumnElement[str]] = [jobs.c.account]
    columns += [jobs_query.error_part(part).label(part) for part in ("kind", "message", "hint")]
    columns += [jobs_query.general_hint().label("general"), jobs_query.displayed_state.label("shown")]
    troubled = jobs_query.select_jobs(job_filter, *columns, is_partial=True).where(jobs_query.may_need_attention)
    each = troubled.where(jobs_query.needs_attention).subquery()
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
    """Return the open jobs with warnings by the kind of the warning, the most frequent first."""
    kind, message, hint = (jobs.c.warning[part].as_string().label(part) for part in ("kind", "message", "hint"))
    chosen = JobsQuery(run, now).select_jobs(job_filter, jobs.c.account, kind, message, hint, is_partial=True)
    continues = and_(
        jobs.c.hold.is_(None), jobs.c.state.not_in(TERMINAL_STATES)
    )  # held jobs are in the problem groups already
    each = chosen.where(jobs.c.warning.is_not(None), continues).subquery()
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


async def list_labels(connection: StoreConnection, run: Run, now: float) -> list[str]:
    """Return all labels of the run's accounts, sorted."""
    jobs_query = JobsQuery(run, now)
    in_order = jobs_query.select_jobs(JobFilter(), labels_json().label("labels"), with_accounts=True, is_partial=True)
    first = in_order.order_by(jobs.c.account, jobs.c.id).limit(MAX_SAMPLED_ACCOUNTS).subquery()
    texts = set((await connection.execute(select(first.c.labels).distinct())).scalars())
    # Usually the first accounts have all the labels that there are. Only otherwise the whole run is searched.
    existing = select(labels_json()).distinct().limit(len(texts) + 1)
    if set((await connection.execute(existing)).scalars()) - texts:
        query = jobs_query.select_jobs(JobFilter(), labels_json(), with_accounts=True).distinct()
        texts = set((await connection.execute(query)).scalars())
    return sorted({label for text in texts for label in json.loads(text)})


async def count_states_by_run(
    connection: StoreConnection, runs: Sequence[Run], now: float
) -> dict[RunId, dict[str, int]]:
    """Count the jobs of each run by state; jobs on hold count as "held"."""
    by_run = {run.id: JobsQuery(run, now) for run in runs}
    each = (
        select(run_jobs.c.run_id, jobs.c.state, has_own_hold(now).label("own"))
        .join(jobs, jobs.c.id == run_jobs.c.job_id)
        .outerjoin(STOPPED_ACCOUNTS, STOPPED_ACCOUNTS.c.name == jobs.c.account)
    ).subquery()  # grouped outside, where an expression with bound values has a name
    alike = (each.c.run_id, each.c.state, each.c.own)
    counts: dict[RunId, Counter[str]] = {}
    for run_id, state, held, count in await connection.execute(select(*alike, func.count()).group_by(*alike)):
        shown = HELD if by_run[run_id].is_held(JobState(state), own=bool(held)) else state
        counts.setdefault(run_id, Counter())[shown] += count
    return {run_id: dict(states) for run_id, states in counts.items()}
