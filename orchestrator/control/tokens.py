"""Creates and revokes access tokens of the web interface. Only hashes of the tokens pass through here."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.core.access_token import ENVIRONMENT_TOKEN_NAME, AccessToken, Role
from orchestrator.core.errors import ConfigError
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import tokens

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


async def create_token(
    database: Database, name: str, role: Role, text_hash: str, *, by: str, now: float
) -> AccessToken:
    """Create a token with this hash. Names are never reused, because the history refers to tokens by name.

    Raises ConfigError for an invalid or used name.
    """
    if not _NAME.fullmatch(name) or name == ENVIRONMENT_TOKEN_NAME:
        raise ConfigError(
            f"{name!r} is not a valid token name",
            hint="Use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit; "
            f"`{ENVIRONMENT_TOKEN_NAME}` is reserved for the tokens of the settings.",
        )
    token = AccessToken(name=name, role=role, hash=text_hash, created_at=now, created_by=by)

    async with database.transaction() as tx:
        if any(known.name == name for known in await tokens.list_all(tx.connection)):
            raise ConfigError(
                f"a token named {name} exists or existed",
                hint="Choose another name. Names cannot be reused, so that the history stays unambiguous.",
            )
        await tokens.add(tx, token)
        tx.add_events(EventData(at=now, cause=by, note="token created", message=f"{name}, {role}"))
        return token


async def revoke_token(database: Database, name: str, *, by: str, now: float) -> None:
    """Revoke the token; its browser sessions end too. Raises ConfigError when no token has the name."""
    async with database.transaction() as tx:
        known = {token.name: token for token in await tokens.list_all(tx.connection)}
        if name not in known:
            raise ConfigError(f"no token is named {name}", hint="`orchestrator token list` lists all tokens.")
        if known[name].revoked_at is None:
            await tokens.revoke(tx, name, now)
            tx.add_events(EventData(at=now, cause=by, note="token revoked", message=name))


async def record_token_use(database: Database, name: str, *, now: float) -> None:
    """Store when the token was last used."""
    await database.write(lambda tx: tokens.save_last_use(tx, name, now))
