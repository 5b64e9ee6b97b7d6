"""Commands that only look: status, models, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.commands.root import Json, command
from orchestrator.cli.session import with_app

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

    with_app(work)


@command()
def models(json: Json = False) -> None:
    """Print the fine-tuned model of each account."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.models(app, as_json=json)

    with_app(work)


@command()
def history(account: Annotated[str, typer.Argument(help="Account name.")], json: Json = False) -> None:
    """Show everything that happened in an account, and who or what caused it."""

    async def work(app: App) -> int:
        from orchestrator.cli import views

        return await views.history(app, account, as_json=json)

    with_app(work)
