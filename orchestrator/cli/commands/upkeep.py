"""Commands that look after an installation: doctor, config, prune, backup, restore."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import AccountsFile, Json, command
from orchestrator.cli.session import environment, errors_explained, session, with_app
from orchestrator.core.secret import Redactor

if TYPE_CHECKING:
    from orchestrator.app import App

File = Annotated[Path, typer.Argument(help="A tar file.", show_default=False)]


@command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the providers.")] = False,
    accounts: AccountsFile = None,
    json: Json = False,
) -> None:
    """Look at everything a run depends on, and say how to mend it. Exit 1 when something is wrong."""
    redact = Redactor()
    with errors_explained(redact):
        from orchestrator.cli import upkeep

        environ = environment(accounts_file=accounts)
        code = asyncio.run(upkeep.doctor(environ, redact, online=not offline, as_json=json))
    raise typer.Exit(code)


@command()
def config(json: Json = False) -> None:
    """Print every setting in force, and where it comes from."""
    with errors_explained(Redactor()):
        from orchestrator.cli import upkeep

        upkeep.config(as_json=json)


@command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed; otherwise it is only shown.")] = False,
    json: Json = False,
) -> None:
    """List what is left of finished runs at the providers and here; delete it with --yes."""

    async def work(app: App) -> int:
        from orchestrator.cli.prune import prune

        return await prune(app, yes=yes, as_json=json)

    with_app(work, reads=True)


@command()
def backup(file: File) -> None:
    """Copy database and datasets into a new tar file; the service may go on."""
    with session(log_level="warning") as given:
        from orchestrator.app.backup import back_up

        names = back_up(given.settings, file)
        typer.echo(f"{file} holds {', '.join(names)}")


@command()
def restore(file: File) -> None:
    """Put database and datasets of a backup back; the service must be stopped, and the database gone."""
    with session(log_level="warning") as given:
        from orchestrator.app.backup import put_back

        names = put_back(given.settings, file)
        typer.echo(f"restored: {', '.join(names)}")
