"""Commands that ask something of the service; they work whether or not it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import AccountsArgument, AllAccountsOption, command
from orchestrator.cli.session import run_with_app

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def approve() -> None:
    """Let the held run go on in spite of its price."""
    _run_action("approve", [], all_accounts=True)


@command()
def waive(
    reason: Annotated[str, typer.Argument(help="Why no moderation is needed; kept in the run's record.")],
) -> None:
    """Let the run go on although its chats were not moderated."""
    _run_action("waive", [], all_accounts=True, reason=reason)


@command()
def cancel(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Cancel the jobs of these accounts."""
    _run_action("cancel", accounts, all_accounts=all_accounts)


@command()
def retry(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Start failed jobs again, as new remote jobs."""
    _run_action("retry", accounts, all_accounts=all_accounts)


@command()
def hold(
    accounts: AccountsArgument = None,
    all_accounts: AllAccountsOption = False,
    reason: Annotated[str, typer.Option(help="Kept in the record.")] = "held by the operator",
) -> None:
    """Set accounts aside until they are released."""
    _run_action("hold", accounts, all_accounts=all_accounts, reason=reason)


@command()
def release(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Let held accounts go on; their keys are verified anew."""
    _run_action("release", accounts, all_accounts=all_accounts)


@command()
def adopt(
    job: Annotated[str, typer.Argument(help="The job's id, as the hint of its hold names it.")],
    remote_job: Annotated[str, typer.Argument(metavar="REMOTE_ID", help="The remote job that is this job's.")],
) -> None:
    """Choose the remote job of a job that is held as ambiguous. It is looked at before it is believed."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate

        return await operate.adopt_remote_job(app, job, remote_job)

    run_with_app(work)


def _run_action(verb: str, accounts: list[str] | None, *, all_accounts: bool, reason: str = "") -> None:
    if not accounts and not all_accounts:
        raise typer.BadParameter("name the accounts, or say --all")

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate

        return await operate.run_operator_action(app, verb, accounts or None, reason)

    run_with_app(work)
