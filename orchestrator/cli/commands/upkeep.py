"""Commands that look after an installation: backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands.root import command
from orchestrator.cli.session import session

File = Annotated[Path, typer.Argument(help="A tar file.", show_default=False)]


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
