"""Commands that ask something of the service; they work whether or not it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import Accounts, Everyone, command
from orchestrator.cli.session import with_app

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def approve() -> None:
    """Let the held run go on in spite of its price."""
    _operate("approve", [], everyone=True)


@command()
def waive(
    reason: Annotated[str, typer.Argument(help="Why no moderation is needed; kept in the run's record.")],
) -> None:
    """Let the run go on although its chats were not moderated."""
    _operate("waive", [], everyone=True, reason=reason)


@command()
def cancel(accounts: Accounts = None, everyone: Everyone = False) -> None:
    """Cancel the jobs of these accounts."""
    _operate("cancel", accounts, everyone=everyone)


@command()
def retry(accounts: Accounts = None, everyone: Everyone = False) -> None:
    """Start failed jobs again, as new remote jobs."""
    _operate("retry", accounts, everyone=everyone)


@command()
def hold(
    accounts: Accounts = None,
    everyone: Everyone = False,
    reason: Annotated[str, typer.Option(help="Kept in the record.")] = "held by the operator",
) -> None:
    """Set accounts aside until they are released."""
    _operate("hold", accounts, everyone=everyone, reason=reason)


@command()
def release(accounts: Accounts = None, everyone: Everyone = False) -> None:
    """Let held accounts go on; their keys are verified anew."""
    _operate("release", accounts, everyone=everyone)


@command()
def adopt(
    job: Annotated[str, typer.Argument(help="The job's id, as the hint of its hold names it.")],
    remote_job: Annotated[str, typer.Argument(metavar="REMOTE_ID", help="The remote job that is this job's.")],
) -> None:
    """Choose the remote job of a job that is held as ambiguous. It is looked at before it is believed."""

    async def work(app: App) -> int:
        from orchestrator.cli import operate

        return await operate.adopt(app, job, remote_job)

    with_app(work)


def _operate(verb: str, accounts: list[str] | None, *, everyone: bool, reason: str = "") -> None:
    if not accounts and not everyone:
        raise typer.BadParameter("name the accounts, or say --all")

    async def work(app: App) -> int:
        from orchestrator.cli import operate

        return await operate.operate(app, verb, accounts or [], reason)

    with_app(work)
