"""Commands that only look: status, models, history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import Json, command
from orchestrator.cli.session import with_app
from orchestrator.core.account import ProviderName
from orchestrator.exports import Form

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it.")] = False,
    json: Json = False,
) -> None:
    """Show the run: states, errors, model ids."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.status(app, as_json=json, watch=watch)

    with_app(work, reads=True)


@command()
def models(
    form: Annotated[Form, typer.Option("--format", "-f", help="How they are written.")] = Form.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write them into this file.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only accounts with this label.")] = None,
    provider: Annotated[list[ProviderName] | None, typer.Option(help="Only accounts at this provider.")] = None,
    name: Annotated[str | None, typer.Option(help="LiteLLM's model group; default: the run's name.")] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also models that cannot be called as they are."),
    ] = False,
) -> None:
    """Say the fine-tuned model of each account. Exit 1 while one is missing."""

    async def work(app: App) -> int:
        from orchestrator.cli import exporting

        return await exporting.models(
            app,
            Form.JSON if json else form,
            output=output,
            labels=label or (),
            providers=provider or (),
            everything=everything,
            name=name,
        )

    with_app(work, reads=True)


@command()
def history(account: Annotated[str, typer.Argument(help="Account name.")], json: Json = False) -> None:
    """Show everything that happened in an account, and who or what caused it."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.history(app, account, as_json=json)

    with_app(work, reads=True)
