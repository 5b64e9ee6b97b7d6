"""Commands that look after an installation: doctor, config, prune, backup, restore."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import AccountsFileOption, JsonOption, command
from orchestrator.cli.session import build_environment, command_session, print_errors, run_with_app
from orchestrator.core.secret import Redactor

if TYPE_CHECKING:
    from orchestrator.app import App

TarFileArgument = Annotated[Path, typer.Argument(help="A tar file.", show_default=False)]


@command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the providers.")] = False,
    accounts: AccountsFileOption = None,
    json: JsonOption = False,
) -> None:
    """Look at everything a run depends on, and say how to mend it. Exit 1 when something is wrong."""
    redact = Redactor()
    with print_errors(redact):
        from orchestrator.cli.handlers import admin

        environ = build_environment(accounts_file=accounts)
        code = asyncio.run(admin.run_doctor(environ, redact, online=not offline, as_json=json))
    raise typer.Exit(code)


@command()
def config(json: JsonOption = False) -> None:
    """Print every setting in force, and where it comes from."""
    with print_errors(Redactor()):
        from orchestrator.cli.handlers import admin

        admin.print_settings(as_json=json)


@command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed; otherwise it is only shown.")] = False,
    json: JsonOption = False,
) -> None:
    """List what is left of finished runs at the providers and here; delete it with --yes."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers.admin import delete_unused_resources

        return await delete_unused_resources(app, yes=yes, as_json=json)

    run_with_app(work, for_reading=True)


@command()
def backup(file: TarFileArgument) -> None:
    """Copy database and datasets into a new tar file; the service may go on."""
    with command_session(log_level="warning") as given:
        from orchestrator.app.backup import create_backup

        names = create_backup(given.settings, file)
        typer.echo(f"{file} holds {', '.join(names)}")


@command()
def restore(file: TarFileArgument) -> None:
    """Put database and datasets of a backup back; the service must be stopped, and the database gone."""
    with command_session(log_level="warning") as given:
        from orchestrator.app.backup import restore_backup

        names = restore_backup(given.settings, file)
        typer.echo(f"restored: {', '.join(names)}")
