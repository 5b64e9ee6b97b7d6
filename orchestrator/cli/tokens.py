"""The verbs of the web door's tokens."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Final

from orchestrator import control, status
from orchestrator.cli.operate import operator
from orchestrator.cli.render import print_json
from orchestrator.cli.session import DONE
from orchestrator.cli.tables import console, simple_table
from orchestrator.core.token import Role, Token, hash_of

if TYPE_CHECKING:
    from orchestrator.app import App

PREFIX: Final = "orch_"  # so that a scanner for secrets can tell what it found


async def create(app: App, name: str, *, reader: bool) -> int:
    """Make one and print it."""
    text = PREFIX + secrets.token_urlsafe(32)
    role = Role.READER if reader else Role.OPERATOR
    await control.create_token(app.database, name, role, hash_of(text.encode()), by=operator(), now=app.clock.now())
    sys.stderr.write("keep it: it is not shown again\n")
    sys.stdout.write(text + "\n")
    return DONE


async def show(app: App, *, as_json: bool) -> int:
    """All of them."""
    known = await status.tokens(app.database)
    if as_json:
        print_json([_line(token) for token in known])
    elif known:
        rows = [[value or "–" for value in _line(token).values()] for token in known]
        console().print(simple_table(["name", "role", "created", "by", "last used", "revoked"], rows))
    else:
        sys.stdout.write("no token has been made; `orchestrator token create NAME --role operator` makes one\n")
    return DONE


async def revoke(app: App, name: str) -> int:
    """From now on it opens nothing."""
    await control.revoke_token(app.database, name, by=operator(), now=app.clock.now())
    sys.stdout.write(f"{name} is revoked\n")
    return DONE


def _line(token: Token) -> dict[str, str | None]:
    return {
        "name": token.name,
        "role": token.role.value,
        "created_at": status.iso(token.created_at),
        "created_by": token.created_by,
        "last_used_at": status.iso(token.last_used_at),
        "revoked_at": status.iso(token.revoked_at),
    }
