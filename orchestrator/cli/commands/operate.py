"""Commands that perform operator actions. They work whether or not the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.filters import (
    ActionRunOption,
    FailedOption,
    HeldOption,
    LabelOption,
    ProviderOption,
    StateOption,
    build_job_filter,
)
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import AccountsArgument, AllAccountsOption, check_selection, command
from orchestrator.cli.session import run_with_app
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import ACTION_INFO, DEFAULT_HOLD_REASON, OperatorAction

if TYPE_CHECKING:
    from orchestrator.app import App

# The help of each command is the action's summary, so that the command line and the API describe it alike.


@command(
    summary=ACTION_INFO[OperatorAction.APPROVE].summary,
    panel=Panel.OPERATE,
    examples="orchestrator plan && orchestrator approve",
)
def approve(run: ActionRunOption = None) -> None:
    """Approve the run."""
    _run_action(OperatorAction.APPROVE, run=run)


@command(
    summary=ACTION_INFO[OperatorAction.WAIVE].summary,
    panel=Panel.OPERATE,
    examples='orchestrator waive "The chats were reviewed by hand."',
)
def waive(
    reason: Annotated[str, typer.Argument(help="Reason why no moderation is needed; recorded with the run.")],
    run: ActionRunOption = None,
) -> None:
    """Waive the moderation of the run."""
    _run_action(OperatorAction.WAIVE, reason=reason, run=run)


@command(
    summary=ACTION_INFO[OperatorAction.CANCEL].summary,
    panel=Panel.OPERATE,
    examples="""
        orchestrator cancel acme-eu acme-us
        orchestrator cancel --all
    """,
)
def cancel(
    accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False, run: ActionRunOption = None
) -> None:
    """Cancel jobs."""
    _run_account_action(OperatorAction.CANCEL, accounts, all_accounts=all_accounts, run=run)


@command(
    summary=ACTION_INFO[OperatorAction.RETRY].summary,
    panel=Panel.OPERATE,
    examples="""
        orchestrator retry acme-eu
        orchestrator retry --failed --provider together
        orchestrator retry --all
    """,
)
def retry(
    accounts: AccountsArgument = None,
    all_accounts: AllAccountsOption = False,
    state: StateOption = None,
    provider: ProviderOption = None,
    label: LabelOption = None,
    held: HeldOption = False,
    failed: FailedOption = False,
    run: ActionRunOption = None,
) -> None:
    """Retry failed jobs."""
    job_filter = build_job_filter(state=state, provider=provider, label=label, held=held, failed=failed)
    _run_account_action(OperatorAction.RETRY, accounts, all_accounts=all_accounts, job_filter=job_filter, run=run)


@command(
    summary=ACTION_INFO[OperatorAction.HOLD].summary,
    panel=Panel.OPERATE,
    examples='orchestrator hold acme-eu --reason "The key is being replaced."',
)
def hold(
    accounts: AccountsArgument = None,
    all_accounts: AllAccountsOption = False,
    reason: Annotated[str, typer.Option(help="Reason; recorded in the event history.")] = DEFAULT_HOLD_REASON,
) -> None:
    """Hold accounts."""
    _run_account_action(OperatorAction.HOLD, accounts, all_accounts=all_accounts, reason=reason)


@command(
    summary=ACTION_INFO[OperatorAction.RELEASE].summary,
    panel=Panel.OPERATE,
    examples="""
        orchestrator release acme-eu
        orchestrator release --all
    """,
)
def release(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Release accounts."""
    _run_account_action(OperatorAction.RELEASE, accounts, all_accounts=all_accounts)


@command(
    summary=ACTION_INFO[OperatorAction.ADOPT].summary,
    panel=Panel.OPERATE,
    examples="orchestrator adopt 0123456789abcdef ftjob-abc123",
)
def adopt(
    job: Annotated[str, typer.Argument(help="Job id; the hint of the held job shows it.")],
    remote_job: Annotated[str, typer.Argument(metavar="remote_id", help="Id of the remote job to adopt.")],
) -> None:
    """Adopt a remote job."""
    _run_action(OperatorAction.ADOPT, job=job, remote_job=remote_job)


@command(
    summary=ACTION_INFO[OperatorAction.ACCEPT].summary,
    panel=Panel.OPERATE,
    examples="""
        orchestrator accept acme-eu --reason "This customer wants a strict model."
        orchestrator accept acme-eu --revoke
    """,
)
def accept(
    accounts: Annotated[list[str], typer.Argument(help="Accounts whose present models are meant.")],
    reason: Annotated[str, typer.Option(help="Reason; recorded with the id of each model.")] = "",
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke the acceptance instead.")] = False,
    run: ActionRunOption = None,
) -> None:
    """Accept the models of accounts."""
    if revoke == bool(reason.strip()):
        wrong = (
            "is not used together with --revoke." if revoke else "is required: it states why the models may be used."
        )
        raise typer.BadParameter(wrong, param_hint="--reason")
    action = OperatorAction.REVOKE_ACCEPTANCE if revoke else OperatorAction.ACCEPT

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate

        return await operate.change_acceptances(app, action, accounts, reason, run=run)

    run_with_app(work)


def _run_action(
    action: OperatorAction, *, reason: str = "", job: str = "", remote_job: str = "", run: str | None = None
) -> None:
    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate
        from orchestrator.control.operator import ActionTarget

        target = ActionTarget(job=job, remote_job=remote_job, run=run)
        return await operate.run_operator_action(app, action, target, reason)

    run_with_app(work)


def _run_account_action(
    action: OperatorAction,
    accounts: list[str] | None,
    *,
    all_accounts: bool,
    reason: str = "",
    job_filter: JobFilter | None = None,
    run: str | None = None,
) -> None:
    choice = "name at least one account, or pass --all."
    if job_filter is not None:
        choice = "name at least one account, or pass a filter such as --label, or --all."
    if accounts or not (job_filter and job_filter.is_narrowing):
        check_selection(accounts, all_selected=all_accounts, choice=choice)

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate

        selected = job_filter or JobFilter()
        return await operate.run_account_action(app, action, accounts or None, reason, selected, run=run)

    run_with_app(work)
