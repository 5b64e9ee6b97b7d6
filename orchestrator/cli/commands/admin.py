"""Commands for an installation: doctor, config, prune, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import AccountsFileOption, JsonOption, WideOption, command
from orchestrator.cli.session import build_environment, command_session, print_errors, run_with_app
from orchestrator.core.secret import Redactor

if TYPE_CHECKING:
    from orchestrator.app import App

TarFileArgument = Annotated[
    Path, typer.Argument(help="Path of the tar file, for example backup.tar.", show_default=False)
]


@command(
    panel=Panel.SET_UP,
    examples="""
        orchestrator doctor
        orchestrator doctor --offline             # send nothing to the providers
    """,
)
def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Skip the checks that send requests to the providers.")
    ] = False,
    accounts: AccountsFileOption = None,
    json: JsonOption = False,
) -> None:
    """Check everything a run depends on and suggest fixes. Exits 1 on errors."""
    redact = Redactor()
    with print_errors(redact):
        import asyncio

        from orchestrator.cli.handlers import admin

        environ = build_environment(accounts_file=accounts)
        code = asyncio.run(admin.run_doctor(environ, redact, online=not offline, as_json=json))
    raise typer.Exit(code)


@command(
    panel=Panel.SET_UP,
    examples="""
        orchestrator conformance lab
        orchestrator conformance lab --train --json
    """,
)
def conformance(
    account: Annotated[str, typer.Argument(help="Name of the account, for example lab.", show_default=False)],
    base_model: Annotated[str | None, typer.Option(help="Model to train; default: the run's.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Train to the end instead of cancelling the job.")] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that the file, and the job, may take for each step.")
    ] = 60.0,
    yes: Annotated[bool, typer.Option("--yes", help="Accept that a hosted provider may charge for the job.")] = False,
    accounts: AccountsFileOption = None,
    json: JsonOption = False,
) -> None:
    """Test whether the service can use a live server. Exits 1 on defects.

    Creates one job with ten tiny chats, cancels it, and deletes the file that it uploaded.
    """
    with command_session(log_level="warning", accounts_file=accounts) as session:
        from orchestrator.app.conformance import ConformanceOptions
        from orchestrator.cli.handlers.conformance import run_conformance_test

        options = ConformanceOptions(base_model=base_model, train=train, timeout_seconds=timeout, may_cost_money=yes)
        code = run_conformance_test(session, account, options, as_json=json)
    raise typer.Exit(code)


@command(
    panel=Panel.SET_UP,
    examples="""
        orchestrator config
        orchestrator config --json
    """,
)
def config(wide: WideOption = False, json: JsonOption = False) -> None:
    """Print each setting in force and its source."""
    with print_errors(Redactor()):
        from orchestrator.cli.handlers import admin

        admin.print_settings(as_json=json, wide=wide)


@command(
    panel=Panel.INSTALLATION,
    examples="""
        orchestrator prune                        # list only
        orchestrator prune --yes                  # delete what was listed
    """,
)
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete the listed resources; default: only list them.")] = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """List resources that finished runs no longer need. Covers datasets here and files at the providers."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers.admin import delete_unused_resources

        return await delete_unused_resources(app, yes=yes, as_json=json, wide=wide)

    run_with_app(work, for_reading=True)


@command(
    panel=Panel.INSTALLATION,
    examples="orchestrator backup backup.tar",
)
def backup(file: TarFileArgument) -> None:
    """Back up the database and datasets to a new tar file. Safe while the service is running."""
    with command_session(log_level="warning") as session:
        from orchestrator.app.backup import create_backup

        names = create_backup(session.settings, file)
        typer.echo(f"Wrote {file} with {', '.join(names)}.")


@command(
    panel=Panel.INSTALLATION,
    examples="orchestrator restore backup.tar",
)
def restore(file: TarFileArgument) -> None:
    """Restore a backup. The service must be stopped and the old database moved away."""
    with command_session(log_level="warning") as session:
        from orchestrator.app.backup import restore_backup

        names = restore_backup(session.settings, file)
        typer.echo(f"Restored {', '.join(names)}.")
