"""The one dispatch of operator actions. The command line, the API and the dashboard all call `perform`."""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

from orchestrator.control.acceptances import accept_models, revoke_acceptances
from orchestrator.control.accounts import hold_accounts, release_accounts
from orchestrator.control.deliveries import redeliver
from orchestrator.control.jobs import adopt_remote_job, cancel, retry
from orchestrator.control.runs import NOTHING_SHOWN, Confirmation, approve, start, waive_moderation
from orchestrator.core.comparison.gate import ModelAcceptance
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.operator_action import DEFAULT_HOLD_REASON, OperatorAction
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.store.db.database import Database


class ActionTarget(Struct, frozen=True, kw_only=True):
    """What an action applies to. Each action uses the fields of its scope; run actions use none.

    An empty selection selects nothing; None selects all. By default nothing is selected, so that a caller that
    forgets to pass a selection changes nothing.
    """

    accounts: Collection[str] | None = ()
    """Account names; None: all accounts of the current run."""
    deliveries: Collection[int] | None = ()
    """Ids of failed deliveries; None: all failed deliveries."""
    run: str | None = None
    """Name or id of the current run, for actions on a run or on jobs; None: the only current run."""
    job: str = ""
    """Job id, for an adoption."""
    remote_job: str = ""
    """Id of the remote job at the provider, for an adoption."""
    confirmed: Confirmation = NOTHING_SHOWN
    """What the operator was shown, for actions on a run or on jobs: they change nothing if it has changed."""


class ActionResult(Struct, frozen=True, kw_only=True):
    """What an action changed. A field that does not concern the action is empty."""

    action: OperatorAction
    run: Run | None = None
    accounts: tuple[str, ...] = ()
    deliveries: tuple[int, ...] = ()
    job: Job | None = None
    moderation_requested: bool = False
    """Whether a release also requested the moderation of the run again."""

    @property
    def is_empty(self) -> bool:
        """Whether the action applied to nothing."""
        return not (self.run or self.accounts or self.deliveries or self.job or self.moderation_requested)


async def perform(
    database: Database, action: OperatorAction, target: ActionTarget, *, actor: str, now: float, reason: str = ""
) -> ActionResult:
    """Apply an operator action, and record it in the event history under `actor`.

    Raises ConfigError if the target does not exist or a required reason is missing, and NothingToDo if the action
    does not apply to it. The running service, or the next `orchestrator run`, then carries the action out.
    """
    match action:
        case OperatorAction.APPROVE | OperatorAction.WAIVE | OperatorAction.START:
            return ActionResult(
                action=action, run=await _change_run(database, action, target, actor=actor, now=now, reason=reason)
            )
        case OperatorAction.CANCEL | OperatorAction.RETRY:
            change = {OperatorAction.CANCEL: cancel, OperatorAction.RETRY: retry}[action]
            jobs = await change(
                database, target.accounts, by=actor, now=now, run_name=target.run, confirmed=target.confirmed
            )
            return ActionResult(action=action, accounts=tuple(job.account for job in jobs))
        case OperatorAction.HOLD:
            reason = reason or DEFAULT_HOLD_REASON
            held = await hold_accounts(database, target.accounts, reason=reason, by=actor, now=now)
            return ActionResult(action=action, accounts=tuple(held))
        case OperatorAction.RELEASE:
            released = await release_accounts(database, target.accounts, by=actor, now=now)
            return ActionResult(
                action=action,
                accounts=tuple(released.accounts),
                moderation_requested=released.moderation_requested,
            )
        case OperatorAction.ADOPT:
            job = await adopt_remote_job(database, target.job, target.remote_job, by=actor, now=now)
            return ActionResult(action=action, job=job, accounts=(job.account,))
        case OperatorAction.REDELIVER:
            retried = await redeliver(database, target.deliveries, by=actor, now=now)
            return ActionResult(action=action, deliveries=tuple(delivery.id for delivery in retried))
        case OperatorAction.ACCEPT | OperatorAction.REVOKE_ACCEPTANCE:
            return await _change_acceptances(database, action, target, actor=actor, now=now, reason=reason)
        case _:
            assert_never(action)


async def _change_run(
    database: Database, action: OperatorAction, target: ActionTarget, *, actor: str, now: float, reason: str
) -> Run:
    name, confirmed = target.run, target.confirmed
    if action is OperatorAction.WAIVE:
        return await waive_moderation(database, reason=reason, by=actor, now=now, run_name=name, confirmed=confirmed)
    change = {OperatorAction.APPROVE: approve, OperatorAction.START: start}[action]
    return await change(database, by=actor, now=now, run_name=name, confirmed=confirmed)


async def _change_acceptances(
    database: Database, action: OperatorAction, target: ActionTarget, *, actor: str, now: float, reason: str
) -> ActionResult:
    names = target.accounts
    if names is None:
        raise ConfigError("models are accepted by name", hint="Name the accounts whose models you mean.")
    changed: list[ModelAcceptance]
    if action is OperatorAction.ACCEPT:
        changed = await accept_models(database, names, reason=reason, by=actor, now=now, run_name=target.run)
    else:
        changed = await revoke_acceptances(database, names, by=actor, now=now, run_name=target.run)
    return ActionResult(action=action, accounts=tuple(dict.fromkeys(each.account for each in changed)))
