"""The verbs of the web door's tokens."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Final

from orchestrator import control, status
from orchestrator.cli.handlers.operate import get_operator_name
from orchestrator.cli.output import print_json
from orchestrator.cli.session import EXIT_DONE
from orchestrator.cli.tables import build_simple_table, create_console
from orchestrator.core.access_token import AccessToken, Role, hash_token

if TYPE_CHECKING:
    from orchestrator.app import App

TOKEN_PREFIX: Final = "orch_"  # noqa: S105 - so that a scanner for secrets can tell what it found


async def create_token(app: App, name: str, *, reader: bool) -> int:
    """Make one and print it."""
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    role = Role.READER if reader else Role.OPERATOR
    await control.create_token(
        app.database, name, role, hash_token(text.encode()), by=get_operator_name(), now=app.clock.now()
    )
    sys.stderr.write("keep it: it is not shown again\n")
    sys.stdout.write(text + "\n")
    return EXIT_DONE


async def print_tokens(app: App, *, as_json: bool) -> int:
    """All of them."""
    known = await status.list_tokens(app.database)
    if as_json:
        print_json([_token_to_json(token) for token in known])
    elif known:
        rows = [[value or "–" for value in _token_to_json(token).values()] for token in known]
        create_console().print(build_simple_table(["name", "role", "created", "by", "last used", "revoked"], rows))
    else:
        sys.stdout.write("no token has been made; `orchestrator token create NAME --role operator` makes one\n")
    return EXIT_DONE


async def revoke_token(app: App, name: str) -> int:
    """From now on it opens nothing."""
    await control.revoke_token(app.database, name, by=get_operator_name(), now=app.clock.now())
    sys.stdout.write(f"{name} is revoked\n")
    return EXIT_DONE


def _token_to_json(token: AccessToken) -> dict[str, str | None]:
    return {
        "name": token.name,
        "role": token.role.value,
        "created_at": status.format_iso(token.created_at),
        "created_by": token.created_by,
        "last_used_at": status.format_iso(token.last_used_at),
        "revoked_at": status.format_iso(token.revoked_at),
    }
