"""Bodies of the `token` commands: create, list and revoke."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Final

from orchestrator import control, status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.tables import Column, print_table
from orchestrator.core.access_token import AccessToken, Role, hash_token
from orchestrator.core.text import format_timestamp

if TYPE_CHECKING:
    from orchestrator.app import App

TOKEN_PREFIX: Final = "orch_"  # noqa: S105 - so that secret scanners can identify a leaked token
TOKEN_BYTES: Final = 32  # of randomness
TOKEN_COLUMNS: Final = (
    Column(heading="name"),
    Column(heading="role"),
    Column(heading="created", importance=2),
    Column(heading="created by", importance=1),
    Column(heading="last used", importance=3),
    Column(heading="revoked", importance=4),
)


async def create_token(app: App, name: str, role: Role) -> ExitCode:
    """Create a token, store its hash, and print the token."""
    text = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    await control.create_token(
        app.database, name, role, hash_token(text.encode()), by=get_operator_name(), now=app.clock.now()
    )
    sys.stderr.write("Store this token now; it cannot be shown again.\n")  # stderr: stdout is the token alone
    sys.stdout.write(text + "\n")
    return ExitCode.DONE


async def print_tokens(app: App, *, as_json: bool, wide: bool = False) -> ExitCode:
    """Print all tokens, also revoked ones, without their text."""
    tokens = await status.list_tokens(app.database)
    if as_json:
        print_json([_token_to_json(token) for token in tokens])
    elif tokens:
        rows = [
            (
                token.name,
                token.role,
                _format_time(token.created_at),
                token.created_by,
                _format_time(token.last_used_at),
                _format_time(token.revoked_at),
            )
            for token in tokens
        ]
        print_table(TOKEN_COLUMNS, rows, wide=wide)
    else:
        sys.stdout.write("No tokens yet. Create one with `orchestrator token create NAME --role operator`.\n")
    return ExitCode.DONE


async def revoke_token(app: App, name: str) -> ExitCode:
    """Revoke a token from the next request on."""
    await control.revoke_token(app.database, name, by=get_operator_name(), now=app.clock.now())
    sys.stdout.write(f"Token {name} is revoked.\n")
    return ExitCode.DONE


def _format_time(seconds: float | None) -> str:
    return "–" if seconds is None else format_timestamp(seconds)


def _token_to_json(token: AccessToken) -> dict[str, str | None]:
    return {
        "name": token.name,
        "role": token.role.value,
        "created_at": status.format_iso(token.created_at),
        "created_by": token.created_by,
        "last_used_at": status.format_iso(token.last_used_at),
        "revoked_at": status.format_iso(token.revoked_at),
    }
