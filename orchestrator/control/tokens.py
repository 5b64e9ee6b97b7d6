"""Tokens: who may come in by the web door. Made and revoked here; the texts are never seen here."""

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
    """Let the holder of the text with this hash in. A name is used once: the record speaks of tokens by name."""
    if not _NAME.fullmatch(name) or name == ENVIRONMENT_TOKEN_NAME:
        raise ConfigError(
            f"{name!r} cannot be a token's name",
            hint="Use up to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit; "
            f"`{ENVIRONMENT_TOKEN_NAME}` stands for the tokens of the settings.",
        )
    token = AccessToken(name=name, role=role, hash=text_hash, created_at=now, created_by=by)

    async with database.transaction() as tx:
        if any(known.name == name for known in await tokens.list_all(tx.connection)):
            raise ConfigError(
                f"there is, or was, a token named {name}",
                hint="Choose another name: what the record says of the old one must stay clear.",
            )
        await tokens.add(tx, token)
        tx.add_events(EventData(at=now, cause=by, note="token created", message=f"{name}, {role}"))
        return token


async def revoke_token(database: Database, name: str, *, by: str, now: float) -> None:
    """Let nobody in with this token any more; its sessions end too."""
    async with database.transaction() as tx:
        known = {token.name: token for token in await tokens.list_all(tx.connection)}
        if name not in known:
            raise ConfigError(f"no token is named {name}", hint="`orchestrator token list` names them all.")
        if known[name].revoked_at is None:
            await tokens.revoke(tx, name, now)
            tx.add_events(EventData(at=now, cause=by, note="token revoked", message=name))


async def record_token_use(database: Database, name: str, *, now: float) -> None:
    """Remember when the token was used last."""
    await database.write(lambda tx: tokens.save_last_use(tx, name, now))
