"""Problems of the service and the run, and the accounts that need attention, grouped by cause with the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.core.errors import Failure
from orchestrator.core.hold import PLAN_HOLD_KINDS, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.notifications.delivery import DeliveryStatus
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count, format_list
from orchestrator.status import HELD, Health, JobView, ProblemGroup, RunView, describe_moderation
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.dashboard.state_display import STATE_TONES


class Notice(Struct, frozen=True, kw_only=True):
    """A problem of the whole service or run, with the operator action that resolves it or the page that lists it."""

    failure: Failure
    action: OperatorAction | None = None
    href: str | None = None


class AttentionItem(Struct, frozen=True, kw_only=True):
    """The accounts that need attention for the same cause."""

    kind: str  # kind of error or hold
    tone: str  # CSS class of the colour
    message: str  # of the first account
    hint: str
    same_message: bool  # whether all accounts have this message; otherwise it is an example
    count: int  # number of accounts
    accounts: tuple[str, ...]  # the first of them
    query: PageQuery  # selects all of them
    action: OperatorAction | None  # for all of them, once the hint has been followed

    @property
    def hidden_count(self) -> int:
        """Number of accounts that are not named."""
        return self.count - len(self.accounts)


def needs_operator(job: JobView, run: RunView | None) -> bool:
    """Return whether the job needs an operator. A hold of the whole run is shown once, not for each account."""
    if job.held and run is not None and job.error in run.holds:
        return False
    return job.held or job.state == JobState.FAILED


def build_attention_items(groups: Sequence[ProblemGroup], run: str = "") -> tuple[AttentionItem, ...]:
    """Build one item per cause, most frequent first; `run` is the run of the page's URL."""
    kinds = Counter(group.error.kind for group in groups)
    return tuple(_build_attention_item(group, run, only_one=kinds[group.error.kind] == 1) for group in groups)


def build_notices(run: RunView | None, health: Health) -> Iterator[Notice]:
    """Yield the problems of the service and of the run as a whole."""
    if not health.database:
        yield Notice(failure=Failure("database", "Database unavailable.", "Check that it is running."))
    elif not health.ticking:
        failure = Failure("not_ticking", "Jobs are not being processed.", "Check the service log.")
        yield Notice(failure=failure)
    if health.problem:
        yield Notice(failure=health.problem)
    if run:
        yield from build_run_notices(run)


def build_run_notices(run: RunView) -> Iterator[Notice]:
    """Yield the holds of the run as a whole."""
    for hold in run.holds:
        yield _build_run_notice(hold, describe_moderation(run.moderation))


def build_delivery_notices(failed_count: int) -> Iterator[Notice]:
    """Yield a notice if deliveries to webhooks or alert targets have failed after all retries."""
    if failed_count:
        count = format_count(failed_count, "delivery", "deliveries")
        failure = Failure("delivery_failed", f"{count} failed.", "Check the target, then retry them.")
        yield Notice(failure=failure, href=f"/deliveries?state={DeliveryStatus.FAILED}")


def _build_run_notice(hold: Failure, moderation: str | None) -> Notice:
    """Build the notice of a hold of the run.

    A waiver is offered only if the hint suggests one: a moderation that fails is no reason to skip it.
    """
    if hold.kind == HoldKind.MODERATING:
        return Notice(failure=replace(hold, message=f"{hold.message}: {moderation}" if moderation else hold.message))
    if hold.kind == HoldKind.NOT_MODERATED:
        return Notice(failure=hold, action=OperatorAction.WAIVE if "`orchestrator waive" in hold.hint else None)
    return Notice(failure=hold, action=OperatorAction.APPROVE)


def build_warning_notices(warnings: Sequence[ProblemGroup]) -> Iterator[Notice]:
    """Yield a notice per warning about jobs in progress: no change for long, or an unknown status at the provider."""
    for group in warnings:
        names = format_list(group.accounts, total=group.count)
        example = "" if group.message_count <= 1 else "for example, "
        yield Notice(
            failure=Failure(group.error.kind, f"{names}: {example}{group.error.message}", group.error.hint),
        )


def _build_attention_item(group: ProblemGroup, run: str, *, only_one: bool) -> AttentionItem:
    error, same_message = group.error, group.message_count <= 1
    # Two groups of the same kind are distinguished by their message, if all accounts of the group have the same.
    text = "" if only_one or not same_message else error.message
    return AttentionItem(
        kind=error.kind,
        tone=STATE_TONES[HELD if group.held else JobState.FAILED],
        message=error.message,
        hint=error.hint,
        same_message=same_message,
        count=group.count,
        accounts=group.accounts,
        query=PageQuery(run=run, error=error.kind, text=text),
        action=_find_remedy(group),
    )


def _find_remedy(group: ProblemGroup) -> OperatorAction | None:
    if not group.held:
        return OperatorAction.RETRY
    return (
        None
        if group.error.kind in PLAN_HOLD_KINDS | {HoldKind.ACCOUNT_REMOVED, HoldKind.KEY_MISSING}
        else OperatorAction.RELEASE
    )
