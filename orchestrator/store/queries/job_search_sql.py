"""SQL expressions for what clients see of a job: held or not, displayed state, displayed error.

The same rules are in Python in core/jobs/next_action.py (`list_job_holds`) and status/views.py. They are repeated in
SQL because a page of a run with ten thousand jobs must not load them all. tests/integration/test_selection.py
compares the two; change both together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
)

from orchestrator.core.hold import ACCOUNT_REMOVED_HOLD, SUPERSEDED_HOLD, HoldKind
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import JobColumn, JobSortOrder
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.run import Run
from orchestrator.store.db.any_of import is_one_of
from orchestrator.store.schema.tables import accounts, jobs, run_jobs

HELD: Final = "held"
_HOLD_KEYS: Final = {"kind": "kind", "message": "reason", "hint": "hint"}
_SEARCHED_COLUMNS: Final = (
    "account",
    "provider",
    "base_model",
    "remote_job_id",
    "remote_file_id",
    "fine_tuned_model",
)


STOPPED_ACCOUNTS: Final = (
    select(accounts.c.name, accounts.c.hold, accounts.c.removed_at)
    .where(or_(accounts.c.hold.is_not(None), accounts.c.removed_at.is_not(None)))
    .cte("stopped_accounts")
    .prefix_with("MATERIALIZED")
)
"""The accounts with a hold, or that were removed. They are few: searching them costs less than all accounts."""


class JobsQuery:
    """Selects jobs of one run at one moment.

    `displayed_state` is the job's state or "held"; `needs_attention` is true for jobs that wait for an operator.
    """

    def __init__(self, run: Run, now: float) -> None:
        self._run = run
        self._now = now
        has_ended, is_unsubmitted = jobs.c.state.in_(TERMINAL_STATES), jobs.c.state.in_(UNSUBMITTED_STATES)
        run_holds = [
            *(hold for hold in run.holds if hold.is_active(now)),
            *([] if run.current else [SUPERSEDED_HOLD]),
        ]
        self._run_hold = run_holds[0].failure if run_holds else None
        self._held_by_run = is_unsubmitted if run_holds else false()
        own = has_own_hold(now)
        self.held = and_(not_(has_ended), or_(own, self._held_by_run))
        self.needs_attention = or_(jobs.c.state == JobState.FAILED, and_(not_(has_ended), own))
        # Implied by `needs_attention` and read from the job alone, so that SQLite skips most jobs after one look.
        self.may_need_attention = or_(
            jobs.c.state == JobState.FAILED,
            jobs.c.hold.is_not(None),
            jobs.c.account.in_(select(STOPPED_ACCOUNTS.c.name)),
        )
        self.displayed_state: ColumnElement[str] = case((self.held, literal(HELD, String)), else_=jobs.c.state)

    def is_held(self, state: JobState, *, own: bool) -> bool:
        """Whether a job in this state is on hold. `own`: the job itself or its account has a hold."""
        return state not in TERMINAL_STATES and (own or (self._run_hold is not None and state in UNSUBMITTED_STATES))

    def error_part(self, part: str) -> ColumnElement[str]:
        """Select a part (`kind`, `message`, `hint`) of the displayed error (hold or last error)."""
        failure = jobs.c.failure[part].as_string()
        by_run = literal(getattr(self._run_hold, part), Text) if self._run_hold else null()
        return case(
            (jobs.c.state.in_(TERMINAL_STATES), failure),
            (self._is_hold_active(jobs), jobs.c.hold[_HOLD_KEYS[part]].as_string()),
            (self._is_hold_active(STOPPED_ACCOUNTS), STOPPED_ACCOUNTS.c.hold[_HOLD_KEYS[part]].as_string()),
            (STOPPED_ACCOUNTS.c.removed_at.is_not(None), literal(getattr(ACCOUNT_REMOVED_HOLD.failure, part), Text)),
            (self._held_by_run, by_run),
            else_=failure,
        )

    def general_hint(self) -> ColumnElement[str]:
        """Select the hint with the account's name replaced by NAME, so that equal problems form one group."""
        hint = func.replace(self.error_part("hint"), " " + jobs.c.account + "`", " NAME`")
        return func.replace(hint, " " + jobs.c.account + " ", " NAME ")

    def select_jobs(
        self,
        job_filter: JobFilter,
        *columns: ColumnElement[Any],
        with_accounts: bool = False,
        is_partial: bool = False,
    ) -> Select[Any]:
        """Select columns of the matching jobs. Removed accounts are included while they have a remote job.

        `with_accounts` is required for columns of `accounts`. `is_partial`: the query reads few of the run's jobs,
        the first ones in an order or those with a rare property, and checks only for them that they are the run's.
        """
        # On SQLite the form decides: it reads all jobs of the run by id, or the jobs in their order until the limit.
        belongs = and_(run_jobs.c.run_id == self._run.id, run_jobs.c.job_id == jobs.c.id)
        source = jobs if is_partial else run_jobs.join(jobs, jobs.c.id == run_jobs.c.job_id)
        if with_accounts or job_filter.label or job_filter.text:
            source = source.join(accounts, accounts.c.name == jobs.c.account)
        return (
            select(*columns)
            .select_from(source.outerjoin(STOPPED_ACCOUNTS, STOPPED_ACCOUNTS.c.name == jobs.c.account))
            .where(exists().where(belongs) if is_partial else run_jobs.c.run_id == self._run.id)
            .where(*self._conditions(job_filter))
            .where(or_(STOPPED_ACCOUNTS.c.removed_at.is_(None), jobs.c.remote_job_id.is_not(None)))
        )

    def order_by(self, order: JobSortOrder) -> Sequence[ColumnElement[Any]]:
        """Select the sort keys of an order; jobs with equal values are sorted by account name."""
        column = self._order_column(order.column)
        key = column.desc() if order.descending else column.asc()
        # SQLite and PostgreSQL disagree on where NULL is sorted, so its place is a key of its own.
        empty = [] if order.column is JobColumn.ACCOUNT else [case((column.is_(None), 1), else_=0)]
        return (*empty, key, jobs.c.account, jobs.c.id)

    def _order_column(self, column: JobColumn) -> ColumnElement[Any]:
        columns: dict[JobColumn, ColumnElement[Any]] = {
            JobColumn.ACCOUNT: jobs.c.account,
            JobColumn.STATE: self.displayed_state,
            JobColumn.SINCE: -jobs.c.state_since,
            JobColumn.MODEL: jobs.c.fine_tuned_model,
            JobColumn.REMOTE_JOB: jobs.c.remote_job_id,
            JobColumn.RETIRES: jobs.c.retires_on,
            JobColumn.PRICE: jobs.c.estimated_usd,
            JobColumn.START: jobs.c.submitted_at,
            JobColumn.DURATION: func.coalesce(jobs.c.finished_at, self._now) - jobs.c.submitted_at,
        }
        return columns[column]

    def _conditions(self, job_filter: JobFilter) -> Sequence[ColumnElement[bool]]:
        filters = (
            (jobs.c.state, job_filter.state),
            (jobs.c.provider, job_filter.provider),
            (self.error_part("kind"), job_filter.error),
        )
        conditions = [column == value for column, value in filters if value]
        if job_filter.held is not None:
            conditions.append(self.held if job_filter.held else not_(self.held))
        if job_filter.label:
            # Not LIKE: on SQLite it ignores the case, and an action would reach the label "EU" for "eu".
            quoted = json.dumps(job_filter.label)
            conditions.append(func.replace(labels_json(), quoted, "") != labels_json())
        if job_filter.accounts:
            conditions.append(is_one_of(jobs.c.account, job_filter.accounts))
        if job_filter.text:
            conditions.append(self._matches_text(job_filter.text))
        return conditions

    def _matches_text(self, text: str) -> ColumnElement[bool]:
        columns: list[ColumnElement[str]] = [jobs.c[name] for name in _SEARCHED_COLUMNS]
        columns += [
            accounts.c.organization,
            self.displayed_state,
            self.error_part("kind"),
            self.error_part("message"),
        ]
        matches = [column.icontains(text, autoescape=True) for column in columns]
        return or_(*matches, labels_json().icontains(json.dumps(text)[1:-1], autoescape=True))

    def _is_hold_active(self, table: FromClause) -> ColumnElement[bool]:
        return is_hold_active(table, self._now)


def has_own_hold(now: float) -> ColumnElement[bool]:
    """Whether the job itself or its account has an active hold, regardless of the run.

    The query joins STOPPED_ACCOUNTS, as `JobsQuery.select_jobs` does.
    """
    by_account = or_(is_hold_active(STOPPED_ACCOUNTS, now), STOPPED_ACCOUNTS.c.removed_at.is_not(None))
    return or_(is_hold_active(jobs, now), by_account)


def is_hold_active(table: FromClause, now: float) -> ColumnElement[bool]:
    """Whether the hold of the job or the account (the table) applies at `now`."""
    until = table.c.hold["until"].as_float()
    is_active = and_(table.c.hold.is_not(None), or_(until.is_(None), until > now))
    if table is not jobs:
        return is_active
    is_deselected = table.c.hold["kind"].as_string() == HoldKind.NOT_SELECTED
    return and_(is_active, not_(and_(table.c.state == JobState.SUBMITTING, is_deselected)))  # it is looked up first


def labels_json() -> ColumnElement[str]:
    """Select an account's labels as their stored JSON text."""
    return cast(accounts.c.labels, Text)
