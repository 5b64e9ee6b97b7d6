"""Operator actions of the command line. They work whether or not the service runs."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from orchestrator import status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.control.operator import ActionResult, ActionTarget, perform
from orchestrator.control.runs import get_current_run
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import ACTION_INFO, OperatorAction
from orchestrator.core.structs import replace
from orchestrator.core.text import format_usd
from orchestrator.core.text_sanitizer import sanitize_line

if TYPE_CHECKING:
    from orchestrator.app import App

EVERY_JOB: Final = JobFilter()
RECORDED: Final = "Recorded. The running service applies it, or else the next `orchestrator run`."


async def run_account_action(
    app: App,
    action: OperatorAction,
    names: Sequence[str] | None,
    reason: str = "",
    job_filter: JobFilter = EVERY_JOB,
    *,
    run: str | None = None,
) -> ExitCode:
    """Apply the action to these accounts; to all accounts to which it applies when `names` is None.

    A filter narrows either of them. `run` is the name of the current run that has the jobs.

    A cancel needs no preview: it must reach every job that has not ended, also one whose account was removed from the
    accounts file, and one that is being cancelled, so that the command can be repeated until all have ended.
    """
    if job_filter.is_narrowing or (names is None and action is not OperatorAction.CANCEL):
        selected = replace(job_filter, accounts=tuple(names or ()))
        preview = await status.preview_action(app.database, action, selected, app.clock.now(), run_name=run)
        names = preview.accounts
    return await run_operator_action(app, action, ActionTarget(accounts=names, run=run), reason)


async def run_operator_action(app: App, action: OperatorAction, target: ActionTarget, reason: str = "") -> ExitCode:
    """Apply the action and print what it changed. Returns FAILED if it applied to nothing."""
    result = await perform(
        app.database, action, target, actor=get_operator_name(), now=app.clock.now(), reason=reason
    )
    if result.is_empty:
        sys.stdout.write(f"{ACTION_INFO[action].nothing_to_do}\n")
        return ExitCode.FAILED
    sys.stdout.write(f"{sanitize_line(_format_result(result, target))}\n{RECORDED}\n")
    if action is OperatorAction.RETRY:  # it costs money, so it may exceed what the run may cost
        async with app.database.read() as connection:
            run = await get_current_run(connection, target.run)
        for hold in run.holds:
            sys.stdout.write(f"{sanitize_line(f'The run is held: {hold.reason}. {hold.hint}')}\n")
    return ExitCode.DONE


async def change_acceptances(
    app: App, action: OperatorAction, names: Sequence[str], reason: str, *, run: str | None = None
) -> ExitCode:
    """Accept the models of accounts, or revoke that. Exports follow at once, whether or not the service runs."""
    target = ActionTarget(accounts=names, run=run)
    actor, now = get_operator_name(), app.clock.now()
    result = await perform(app.database, action, target, actor=actor, now=now, reason=reason)
    accepted = ACTION_INFO[action].accepted.format(target=", ".join(result.accounts))
    sys.stdout.write(f"{sanitize_line(accepted)}.\n")
    return ExitCode.DONE


def _format_result(result: ActionResult, target: ActionTarget) -> str:
    accepted = ACTION_INFO[result.action].accepted
    if result.job is not None:
        job = f"Job {result.job.id} (account {result.job.account})"
        return f"{job} will adopt remote job {target.remote_job} once it is verified."
    if result.run is not None:
        price = f" at {format_usd(result.run.approved_usd)}" if result.action is OperatorAction.APPROVE else ""
        return f"{accepted}: run {result.run.name} ({result.run.id}){price}."
    changed = ", ".join(result.accounts)
    if result.deliveries:
        noun = "delivery" if len(result.deliveries) == 1 else "deliveries"
        changed = f"{noun} {', '.join(map(str, result.deliveries))}"
    moderation = "Moderation of the chats is requested again." if result.moderation_requested else ""
    return " ".join(filter(None, (f"{accepted.format(target=changed)}." if changed else "", moderation)))


def get_operator_name() -> str:
    """Return the name of the terminal's user under which the event history records an action."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return "operator:unknown"
