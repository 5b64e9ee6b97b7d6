"""Sight: what is seen of a run's jobs at one moment, as SQL, because a page of ten thousand must not load them all.

What holds a job is said by `core.action.holds_on`, and here once more. A test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Table,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
)

from orchestrator.core.hold import REMOVED, SUPERSEDED
from orchestrator.core.lifecycle import ENDS, UNSENT, State
from orchestrator.core.run import Run
from orchestrator.core.selection import Selection
from orchestrator.store.tables import accounts, jobs, run_jobs

HELD: Final = "held"
_HOLD: Final = {"kind": "kind", "message": "reason", "hint": "hint"}
_SHOWN: Final = ("account", "provider", "base_model", "remote_job_id", "remote_file_id", "fine_tuned_model")


class Sight:
    """The run's jobs as they are now. `shown` is the state, or "held"; `needy` is what waits for a person."""

    def __init__(self, run: Run, now: float) -> None:
        self._run = run
        self._now = now
        ended, unsent = jobs.c.state.in_(ENDS), jobs.c.state.in_(UNSENT)
        run_holds = [*(hold for hold in run.holds if hold.holds(now)), *([] if run.current else [SUPERSEDED])]
        self._run_hold = run_holds[0].failure if run_holds else None
        self._by_run = unsent if run_holds else false()
        own = own_hold(now)
        self.held = and_(not_(ended), or_(own, self._by_run))
        self.needy = or_(jobs.c.state == State.FAILED, and_(not_(ended), own))
        self.shown: ColumnElement[str] = case((self.held, literal(HELD, String)), else_=jobs.c.state)

    def holds(self, state: State, *, own: bool) -> bool:
        """Whether a job in this state is held. `own`: something holds the job itself or its account."""
        return state not in ENDS and (own or (self._run_hold is not None and state in UNSENT))

    def error(self, part: str) -> ColumnElement[str]:
        """A part of what keeps the job from going on, or ended it: its kind, message or hint."""
        failure = jobs.c.failure[part].as_string()
        by_run = literal(getattr(self._run_hold, part), Text) if self._run_hold else null()
        return case(
            (jobs.c.state.in_(ENDS), failure),
            (self._in_force(jobs), jobs.c.hold[_HOLD[part]].as_string()),
            (self._in_force(accounts), accounts.c.hold[_HOLD[part]].as_string()),
            (accounts.c.removed_at.is_not(None), literal(getattr(REMOVED.failure, part), Text)),
            (self._by_run, by_run),
            else_=failure,
        )

    def general_hint(self) -> ColumnElement[str]:
        """The hint, the same for every account: some name the account in the command to give."""
        hint = func.replace(self.error("hint"), " " + jobs.c.account + "`", " NAME`")
        return func.replace(hint, " " + jobs.c.account + " ", " NAME ")

    def choose(self, selection: Selection, *columns: ColumnElement[Any]) -> Select[Any]:
        """These columns of what is selected. A removed account counts while a provider has something of it."""
        return (
            select(*columns)
            .select_from(run_jobs)
            .join(jobs, jobs.c.id == run_jobs.c.job_id)
            .join(accounts, accounts.c.name == jobs.c.account)
            .where(run_jobs.c.run_id == self._run.id, *self._conditions(selection))
            .where(or_(accounts.c.removed_at.is_(None), jobs.c.remote_job_id.is_not(None)))
        )

    def _conditions(self, selection: Selection) -> Sequence[ColumnElement[bool]]:
        wanted = (
            (jobs.c.state, selection.state),
            (jobs.c.provider, selection.provider),
            (self.error("kind"), selection.error),
        )
        conditions = [column == value for column, value in wanted if value]
        if selection.held is not None:
            conditions.append(self.held if selection.held else not_(self.held))
        if selection.label:
            conditions.append(label_text().contains(json.dumps(selection.label), autoescape=True))
        if selection.accounts:
            conditions.append(jobs.c.account.in_(selection.accounts))
        if selection.text:
            conditions.append(self._finds(selection.text))
        return conditions

    def _finds(self, text: str) -> ColumnElement[bool]:
        places: list[ColumnElement[str]] = [jobs.c[name] for name in _SHOWN]
        places += [accounts.c.organization, self.shown, self.error("kind"), self.error("message")]
        found = [place.icontains(text, autoescape=True) for place in places]
        return or_(*found, label_text().icontains(json.dumps(text)[1:-1], autoescape=True))

    def _in_force(self, table: Table) -> ColumnElement[bool]:
        return _in_force(table, self._now)


def own_hold(now: float) -> ColumnElement[bool]:
    """Whether something holds the job itself or its account, whatever becomes of the run."""
    return or_(_in_force(jobs, now), _in_force(accounts, now), accounts.c.removed_at.is_not(None))


def _in_force(table: Table, now: float) -> ColumnElement[bool]:
    until = table.c.hold["until"].as_float()
    return and_(table.c.hold.is_not(None), or_(until.is_(None), until > now))


def label_text() -> ColumnElement[str]:
    """An account's labels as the JSON that is stored."""
    return cast(accounts.c.labels, Text)
