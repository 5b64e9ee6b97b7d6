"""Trouble: what is wrong with the service or the run, and what waits for a person, by cause, with the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.errors import Failure
from orchestrator.core.hold import PLAN_HOLD_KINDS, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.text import format_list
from orchestrator.status import HELD, Health, JobView, ProblemGroup, RunView, describe_moderation
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.dashboard.state_display import STATE_TONES


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that concerns everything, and the verb that lifts it, if one does."""

    failure: Failure
    action: OperatorAction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionItem:
    """One cause: an example of its message, the first accounts that have it, and the address of all of them.

    `verb` is what may be asked of them all, when the hint was followed.
    """

    kind: str
    tone: str
    message: str
    hint: str
    same_message: bool
    count: int
    accounts: tuple[str, ...]
    query: PageQuery
    action: OperatorAction | None

    @property
    def hidden_count(self) -> int:
        """Accounts that are not named."""
        return self.count - len(self.accounts)


def needs_operator(job: JobView, run: RunView | None) -> bool:
    """Whether this account waits for someone. What holds the whole run is told once, not of each account."""
    if job.held and run is not None and job.error in run.holds:
        return False
    return job.held or job.state == JobState.FAILED


def build_attention_items(causes: Sequence[ProblemGroup]) -> tuple[AttentionItem, ...]:
    """The causes, the most frequent first."""
    kinds = Counter(cause.error.kind for cause in causes)
    return tuple(_build_attention_item(cause, alone=kinds[cause.error.kind] == 1) for cause in causes)


def build_notices(run: RunView | None, health: Health) -> Iterator[Notice]:
    """What is wrong with the service or the run as a whole."""
    if not health.database:
        yield Notice(failure=Failure("database", "the database does not answer", "See that it runs."))
    elif not health.ticking:
        failure = Failure("not_ticking", "the service does not work on the jobs now", "Look at the service's log.")
        yield Notice(failure=failure)
    if health.problem:
        yield Notice(failure=health.problem)
    for hold in run.holds if run else ():
        yield _build_run_notice(hold, describe_moderation(run.moderation) if run else None)


def _build_run_notice(hold: Failure, moderation: str | None) -> Notice:
    """What holds the run. A moderation that fails is no reason to do without one: only a hint that says so is."""
    if hold.kind == HoldKind.MODERATING:
        return Notice(failure=replace(hold, message=f"{hold.message}: {moderation}" if moderation else hold.message))
    if hold.kind == HoldKind.NOT_MODERATED:
        return Notice(failure=hold, action=OperatorAction.WAIVE if "`orchestrator waive" in hold.hint else None)
    return Notice(failure=hold, action=OperatorAction.APPROVE)


def build_warning_notices(warnings: Sequence[ProblemGroup]) -> Iterator[Notice]:
    """The jobs that go on and need a look: nothing has changed for long, or their provider says something strange."""
    for cause in warnings:
        names = format_list(cause.accounts, total=cause.count)
        example = "" if cause.message_count <= 1 else "for example, "
        yield Notice(
            failure=Failure(cause.error.kind, f"{names}: {example}{cause.error.message}", cause.error.hint),
        )


def _build_attention_item(cause: ProblemGroup, *, alone: bool) -> AttentionItem:
    error, alike = cause.error, cause.message_count <= 1
    return AttentionItem(
        kind=error.kind,
        tone=STATE_TONES[HELD if cause.held else JobState.FAILED],
        message=error.message,
        hint=error.hint,
        same_message=alike,
        count=cause.count,
        accounts=cause.accounts,
        # Two causes of one kind are told apart by their message, where it is one.
        query=PageQuery(error=error.kind, text="" if alone or not alike else error.message),
        action=_find_remedy(cause),
    )


def _find_remedy(cause: ProblemGroup) -> OperatorAction | None:
    if not cause.held:
        return OperatorAction.RETRY
    return (
        None
        if cause.error.kind in PLAN_HOLD_KINDS | {HoldKind.ACCOUNT_REMOVED, HoldKind.KEY_MISSING}
        else OperatorAction.RELEASE
    )
