"""Commands that do the work: verify, plan, rerun, upload, start, run, serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.commands.root import AccountsFileOption, JsonOption, command
from orchestrator.cli.session import build_environment, run_with_app
from orchestrator.core.account import ProviderName

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def accounts(accounts: AccountsFileOption = None, json: JsonOption = False) -> None:
    """Verify each account: whose key it is, held or fine."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status

        return await status.verify_accounts(app, as_json=json)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command()
def plan(accounts: AccountsFileOption = None, json: JsonOption = False) -> None:
    """Say what would happen and cost in each account, without doing it. Exit 1 when the run would be held."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status

        return await status.print_plan(app, as_json=json)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command()
def rerun(
    run: Annotated[str, typer.Argument(help="The run's id.", show_default=False)],
    provider: Annotated[ProviderName, typer.Option(help="Where it is to be trained.", show_default=False)],
    base_model: Annotated[str | None, typer.Option(help="What is trained there.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the accounts file for it here.")] = None,
    accounts: AccountsFileOption = None,
) -> None:
    """Plan a run's dataset at another provider, as an accounts file. Exit 1 while something must be chosen."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers.rerun import print_rerun

        return await print_rerun(app, run, provider, base_model=base_model, write=write)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command()
def upload(accounts: AccountsFileOption = None) -> None:
    """Replicate the file to every account and stop when each is ready."""
    _run_in_foreground(accounts, start=False, until="is_file_ready")


@command()
def start(accounts: AccountsFileOption = None) -> None:
    """Start the jobs and stop when each provider has its job."""
    _run_in_foreground(accounts, start=True, until="is_job_created")


@command()
def run(accounts: AccountsFileOption = None) -> None:
    """Do everything in the foreground. Exit 0 when every account has its model, 1 otherwise."""
    _run_in_foreground(accounts, start=True, until="is_settled")


def _run_in_foreground(accounts: Path | None, *, start: bool, until: str) -> None:
    import sys

    async def work(app: App) -> int:
        from orchestrator.app import exclusive_database_lock
        from orchestrator.cli import foreground

        with exclusive_database_lock(app.settings, app.database):
            return await foreground.run_foreground(app, start=start, is_done=getattr(foreground, until))

    run_with_app(work, quiet=sys.stdout.isatty(), accounts_file=accounts)


@command()
def serve(
    accounts: AccountsFileOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
) -> None:
    """Run the service: converge on the accounts file, follow the jobs, answer at /status."""

    options: dict[str, Any] = {"accounts_file": accounts, "host": host, "port": port}

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import serve

        return await serve.serve(app, build_environment(**options))

    run_with_app(work, quiet=False, wait_for_threads=False, **options)
