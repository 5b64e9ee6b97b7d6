"""Commands for the web door's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.commands.root import JsonOption, app
from orchestrator.cli.session import run_with_app

if TYPE_CHECKING:
    from orchestrator.app import App

token_app = typer.Typer(
    help="Make, list and revoke what opens the API and the dashboard.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(token_app, name="token")
TokenNameArgument = Annotated[str, typer.Argument(help="The token's name; what it does is on record under it.")]


@token_app.command()
def create(
    name: TokenNameArgument,
    role: Annotated[Literal["read", "operator"], typer.Option(help="read: look. operator: look and act.")],
) -> None:
    """Make a token and print it, this once; only its hash is kept."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import tokens

        return await tokens.create_token(app, name, reader=role == "read")

    run_with_app(work)


@token_app.command("list")
def list_(json: JsonOption = False) -> None:
    """Show every token ever made: role, last use, whether it is revoked."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import tokens

        return await tokens.print_tokens(app, as_json=json)

    run_with_app(work, for_reading=True)


@token_app.command()
def revoke(name: TokenNameArgument) -> None:
    """Let nobody in with this token any more; its browsers' sessions end too."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import tokens

        return await tokens.revoke_token(app, name)

    run_with_app(work)
