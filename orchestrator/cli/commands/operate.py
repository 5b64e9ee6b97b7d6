"""Commands that request an operator action. They work whether or not the service is running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import AccountsArgument, AllAccountsOption, command
from orchestrator.cli.session import run_with_app

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def approve() -> None:
    """Approve a run that is held because of its price."""
    _run_action("approve", [], all_accounts=True)


@command()
def waive(
    reason: Annotated[str, typer.Argument(help="Reason why no moderation is needed; stored with the run.")],
) -> None:
    """Continue the run without moderation and record the reason."""
    _run_action("waive", [], all_accounts=True, reason=reason)


@command()
def cancel(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Cancel the jobs of the given accounts, also at the provider."""
    _run_action("cancel", accounts, all_accounts=all_accounts)


@command()
def retry(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Retry failed jobs as new remote jobs."""
    _run_action("retry", accounts, all_accounts=all_accounts)


@command()
def hold(
    accounts: AccountsArgument = None,
    all_accounts: AllAccountsOption = False,
    reason: Annotated[str, typer.Option(help="Reason; stored with the hold.")] = "held by the operator",
) -> None:
    """Put accounts on hold until they are released."""
    _run_action("hold", accounts, all_accounts=all_accounts, reason=reason)


@command()
def release(accounts: AccountsArgument = None, all_accounts: AllAccountsOption = False) -> None:
    """Release held accounts and verify their keys again."""
    _run_action("release", accounts, all_accounts=all_accounts)


@command()
def adopt(
    job: Annotated[str, typer.Argument(help="Job id, as shown in the hint of its hold.")],
    remote_job: Annotated[str, typer.Argument(metavar="REMOTE_ID", help="Id of the remote job to adopt.")],
) -> None:
    """Select the remote job for a job held as ambiguous. The service verifies the choice with the provider."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate

        return await operate.adopt_remote_job(app, job, remote_job)

    run_with_app(work)


def _run_action(verb: str, accounts: list[str] | None, *, all_accounts: bool, reason: str = "") -> None:
    if not accounts and not all_accounts:
        raise typer.BadParameter("Specify accounts or pass --all.")

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import operate

        return await operate.run_operator_action(app, verb, accounts or None, reason)

    run_with_app(work)
