"""Commands of a run: accounts, plan, rerun, upload, start, run, serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.commands.filters import PROVIDER_CHOICES, PROVIDER_METAVAR, RunOption
from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import AccountsFileOption, JsonOption, WideOption, command
from orchestrator.cli.session import build_environment, run_with_app
from orchestrator.core.account import ProviderName

if TYPE_CHECKING:
    from orchestrator.app import App


@command(
    panel=Panel.SET_UP,
    examples="""
        orchestrator accounts
        orchestrator accounts --json | jq '.[] | select(.fine | not)'
    """,
)
def accounts(accounts: AccountsFileOption = None, wide: WideOption = False, json: JsonOption = False) -> None:
    """Verify each account's key and show its owner and state. Exits 1 if any key or account is not usable."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status

        return await status.verify_accounts(app, as_json=json, wide=wide)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command(
    panel=Panel.RUN,
    examples="""
        orchestrator plan
        orchestrator plan --json | jq .total_usd
    """,
)
def plan(
    accounts: AccountsFileOption = None, run: RunOption = None, wide: WideOption = False, json: JsonOption = False
) -> None:
    """Show the planned action and price per account. Executes nothing; exits 1 if the run would be held."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status

        return await status.print_plan(app, as_json=json, wide=wide, run=run)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command(
    panel=Panel.RUN,
    examples="""
        orchestrator rerun 0123456789abcdef --provider together
        orchestrator rerun 0123456789abcdef --provider together --write together.toml
    """,
)
def rerun(
    run: Annotated[str, typer.Argument(help="Id of the run, or name of a current run.", show_default=False)],
    provider: Annotated[
        ProviderName,
        typer.Option(metavar=PROVIDER_METAVAR, help=f"Target provider: {PROVIDER_CHOICES}.", show_default=False),
    ],
    base_model: Annotated[str | None, typer.Option(help="Base model at the target provider.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the generated accounts file to this path; default: print it.")
    ] = None,
    accounts: AccountsFileOption = None,
) -> None:
    """Generate an accounts file for a run at another provider. Exits 1 if anything is missing."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers.rerun import print_rerun

        return await print_rerun(app, run, provider, base_model=base_model, write=write)

    run_with_app(work, for_reading=True, accounts_file=accounts)


@command(
    panel=Panel.RUN,
    examples="orchestrator upload                       # upload today, start later",
)
def upload(accounts: AccountsFileOption = None, run: RunOption = None) -> None:
    """Upload the dataset to every account. Exits when every file is ready; starts no job."""

    async def work(app: App) -> int:
        from orchestrator.cli.foreground import is_file_ready, run_foreground

        return await run_foreground(app, start=False, is_done=is_file_ready, run=run)

    run_with_app(work, quiet=sys.stdout.isatty(), accounts_file=accounts)


@command(
    panel=Panel.RUN,
    examples="""
        orchestrator start
        orchestrator start && orchestrator status --watch
    """,
)
def start(accounts: AccountsFileOption = None, run: RunOption = None) -> None:
    """Upload the dataset and submit the jobs. Exits when every provider has accepted its job; the jobs continue."""

    async def work(app: App) -> int:
        from orchestrator.cli.foreground import is_job_created, run_foreground

        return await run_foreground(app, start=True, is_done=is_job_created, run=run)

    run_with_app(work, quiet=sys.stdout.isatty(), accounts_file=accounts)


@command(
    panel=Panel.RUN,
    examples="""
        orchestrator run
        orchestrator run && orchestrator models --format env > models.env
    """,
)
def run(accounts: AccountsFileOption = None, run: RunOption = None) -> None:
    """Upload, submit and follow all jobs until they end. Exits 0 when every account has its model, otherwise 1."""

    async def work(app: App) -> int:
        from orchestrator.cli.foreground import is_settled, run_foreground

        return await run_foreground(app, start=True, is_done=is_settled, run=run)

    run_with_app(work, quiet=sys.stdout.isatty(), accounts_file=accounts)


@command(
    panel=Panel.RUN,
    examples="""
        orchestrator serve                        # http://127.0.0.1:8080/
        orchestrator serve --accounts accounts.toml --port 9000
    """,
)
def serve(
    accounts: AccountsFileOption = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: ORCHESTRATOR_HOST or 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 picks a free port; default: ORCHESTRATOR_PORT or 8080.")
    ] = None,
) -> None:
    """Run the service with its API and dashboard. It applies the accounts file and monitors the jobs."""

    options: dict[str, Any] = {"accounts_file": accounts, "host": host, "port": port}

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import serve

        return await serve.serve(app, build_environment(**options))

    run_with_app(work, quiet=False, wait_for_threads=False, **options)
