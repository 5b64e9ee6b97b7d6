"""Commands for what is told to webhooks and alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import JsonOption, app
from orchestrator.cli.session import run_with_app

if TYPE_CHECKING:
    from orchestrator.app import App

deliveries_app = typer.Typer(
    help="List what webhooks and alerts were told, and tell again what was given up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(deliveries_app, name="deliveries")


@deliveries_app.command("list")
def list_(
    dead: Annotated[bool, typer.Option("--dead", help="Only what was given up.")] = False, json: JsonOption = False
) -> None:
    """Show the newest deliveries. Exit 1 when some of them were given up."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deliveries

        return await deliveries.print_deliveries(app, dead=dead, as_json=json)

    run_with_app(work, for_reading=True)


@deliveries_app.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(min=1, max=2**31 - 1, help="Numbers of the list.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that was given up.")] = False,
) -> None:
    """Begin again with what was given up."""
    if not ids and not everything:
        raise typer.BadParameter("name the deliveries, or say --all")

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import deliveries

        return await deliveries.retry_deliveries(app, None if everything else ids)

    run_with_app(work)
