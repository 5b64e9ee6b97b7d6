"""Access tokens for the API and the dashboard. Only their hashes are stored."""

from __future__ import annotations

import hmac
from enum import StrEnum
from hashlib import sha256
from typing import Final

from orchestrator.core.structs import Struct

ENVIRONMENT_TOKEN_NAME: Final = "environment"  # noqa: S105 - the name of the tokens from the settings


class Role(StrEnum):
    """The rights of a client. READER: read-only access. OPERATOR: full access."""

    OPERATOR = "operator"
    READER = "reader"


class AccessToken(Struct, frozen=True, kw_only=True):
    """A stored access token. Times are epoch seconds, UTC."""

    name: str  # actions are logged under it
    role: Role
    hash: str  # SHA-256, hex; a slow hash is not needed for 256 random bits
    created_at: float
    created_by: str
    last_used_at: float | None = None  # updated rarely, so it is not exact
    revoked_at: float | None = None  # None: the token is valid

    def matches(self, token_hash: str) -> bool:
        """Return whether the hash is this token's and the token is not revoked, in constant time."""
        return hmac.compare_digest(self.hash, token_hash) and self.revoked_at is None


def hash_token(text: bytes) -> str:
    """Return the hash that is stored of a token."""
    return sha256(text).hexdigest()
