"""Commands for access tokens: token create, token list, token revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.commands.help_layout import Panel
from orchestrator.cli.commands.root import JsonOption, WideOption, command, create_group
from orchestrator.cli.session import run_with_app
from orchestrator.core.access_token import Role

if TYPE_CHECKING:
    from orchestrator.app import App

token_app = create_group(
    "token",
    panel=Panel.INSTALLATION,
    summary="Manage access tokens for the API and the dashboard.",
    examples="""
        orchestrator token create ci --role reader
        orchestrator token list
    """,
)
TokenNameArgument = Annotated[str, typer.Argument(help="Token name, for example ci; actions are logged under it.")]


@command(
    group=token_app,
    examples="""
        orchestrator token create ci --role reader
        orchestrator token create alice --role operator
    """,
)
def create(
    name: TokenNameArgument,
    role: Annotated[
        Literal["reader", "operator", "read"],
        typer.Option(help="reader (or read): read-only access. operator: full access."),
    ],
) -> None:
    """Create a token and print it. It cannot be shown again; only its hash is stored."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import tokens

        return await tokens.create_token(app, name, Role.OPERATOR if role == "operator" else Role.READER)

    run_with_app(work)


@command(
    "list",
    group=token_app,
    examples="orchestrator token list",
)
def list_(wide: WideOption = False, json: JsonOption = False) -> None:
    """List all tokens, including revoked ones. Shows the role and the time of last use."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import tokens

        return await tokens.print_tokens(app, as_json=json, wide=wide)

    run_with_app(work, for_reading=True)


@command(
    group=token_app,
    examples="orchestrator token revoke ci",
)
def revoke(name: TokenNameArgument) -> None:
    """Revoke a token and end its browser sessions."""

    async def work(app: App) -> int:
        from orchestrator.cli.handlers import tokens

        return await tokens.revoke_token(app, name)

    run_with_app(work)
