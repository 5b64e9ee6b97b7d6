"""Commands for the web door's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.commands.root import Json, app
from orchestrator.cli.session import with_app

if TYPE_CHECKING:
    from orchestrator.app import App

token = typer.Typer(
    help="Make, list and revoke what opens the API and the dashboard.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(token, name="token")
Name = Annotated[str, typer.Argument(help="The token's name; what it does is on record under it.")]


@token.command()
def create(
    name: Name,
    role: Annotated[Literal["read", "operator"], typer.Option(help="read: look. operator: look and act.")],
) -> None:
    """Make a token and print it, this once; only its hash is kept."""

    async def work(app: App) -> int:
        from orchestrator.cli import tokens

        return await tokens.create(app, name, reader=role == "read")

    with_app(work)


@token.command("list")
def list_(json: Json = False) -> None:
    """Show every token ever made: role, last use, whether it is revoked."""

    async def work(app: App) -> int:
        from orchestrator.cli import tokens

        return await tokens.show(app, as_json=json)

    with_app(work, reads=True)


@token.command()
def revoke(name: Name) -> None:
    """Let nobody in with this token any more; its browsers' sessions end too."""

    async def work(app: App) -> int:
        from orchestrator.cli import tokens

        return await tokens.revoke(app, name)

    with_app(work)
