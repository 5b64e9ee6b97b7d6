"""Commands that only look: status, models, history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import JsonOption, command
from orchestrator.cli.session import run_with_app
from orchestrator.core.account import ProviderName
from orchestrator.exports import ExportFormat

if TYPE_CHECKING:
    from orchestrator.app import App


@command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the run: states, errors, model ids."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status as views

        return await views.print_run_status(app, as_json=json, watch=watch)

    run_with_app(work, for_reading=True)


@command()
def models(
    output_format: Annotated[
        ExportFormat, typer.Option("--format", "-f", help="How they are written.")
    ] = ExportFormat.TABLE,
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
        from orchestrator.cli.handlers import status as exporting

        return await exporting.print_models(
            app,
            ExportFormat.JSON if json else output_format,
            output=output,
            labels=label or (),
            providers=provider or (),
            everything=everything,
            name=name,
        )

    run_with_app(work, for_reading=True)


@command()
def history(account: Annotated[str, typer.Argument(help="Account name.")], json: JsonOption = False) -> None:
    """Show everything that happened in an account, and who or what caused it."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import status as views

        return await views.print_events(app, account, as_json=json)

    run_with_app(work, for_reading=True)
