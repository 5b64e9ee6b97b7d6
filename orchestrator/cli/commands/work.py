"""Commands that do the work: verify, plan, rerun, upload, start, run, serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.commands.root import AccountsFile, Json, command
from orchestrator.cli.session import environment, with_app
from orchestrator.core.account import ProviderName

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def accounts(accounts: AccountsFile = None, json: Json = False) -> None:
    """Verify each account: whose key it is, held or fine."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.accounts(app, as_json=json)

    with_app(work, reads=True, accounts_file=accounts)


@command()
def plan(accounts: AccountsFile = None, json: Json = False) -> None:
    """Say what would happen and cost in each account, without doing it. Exit 1 when the run would be held."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.plan(app, as_json=json)

    with_app(work, reads=True, accounts_file=accounts)


@command()
def rerun(
    run: Annotated[str, typer.Argument(help="The run's id.", show_default=False)],
    provider: Annotated[ProviderName, typer.Option(help="Where it is to be trained.", show_default=False)],
    base_model: Annotated[str | None, typer.Option(help="What is trained there.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the accounts file for it here.")] = None,
    accounts: AccountsFile = None,
) -> None:
    """Plan a run's dataset at another provider, as an accounts file. Exit 1 while something must be chosen."""

    async def work(app: App) -> int:
        from orchestrator.cli.rerun import rerun

        return await rerun(app, run, provider, base_model=base_model, write=write)

    with_app(work, reads=True, accounts_file=accounts)


@command()
def upload(accounts: AccountsFile = None) -> None:
    """Replicate the file to every account and stop when each is ready."""
    _foreground(accounts, start=False, until="file_ready")


@command()
def start(accounts: AccountsFile = None) -> None:
    """Start the jobs and stop when each provider has its job."""
    _foreground(accounts, start=True, until="job_there")


@command()
def run(accounts: AccountsFile = None) -> None:
    """Do everything in the foreground. Exit 0 when every account has its model, 1 otherwise."""
    _foreground(accounts, start=True, until="ended")


def _foreground(accounts: Path | None, *, start: bool, until: str) -> None:
    import sys

    async def work(app: App) -> int:
        from orchestrator.app import sole_owner
        from orchestrator.cli import follow

        with sole_owner(app.settings, app.database):
            return await follow.work(app, start=start, enough=getattr(follow, until))

    with_app(work, quiet=sys.stdout.isatty(), accounts_file=accounts)


@command()
def serve(
    accounts: AccountsFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Run the service: converge on the accounts file, follow the jobs, answer at /status."""

    options: dict[str, Any] = {"accounts_file": accounts, "host": host, "port": port}

    async def work(app: App) -> int:
        from orchestrator.cli import serve

        return await serve.serve(app, environment(**options))

    with_app(work, quiet=False, wait_for_threads=False, **options)
