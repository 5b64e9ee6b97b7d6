"""Token: what opens the doors. Only its hash is known here; the text is with whoever was given it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

ENVIRONMENT_TOKEN_NAME: Final = "environment"  # noqa: S105 - the name of the tokens that the settings hand in


class Role(StrEnum):
    """What someone who came in may do: a reader looks, an operator acts too."""

    OPERATOR = "operator"
    READER = "reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token's name and rights. Times are epoch seconds, UTC; `last_used_at` is coarse.

    `hash` is the SHA-256 of the text in hex: enough for 256 random bits, which nobody can try out.
    """

    name: str
    role: Role
    hash: str
    created_at: float
    created_by: str
    last_used_at: float | None = None
    revoked_at: float | None = None

    def matches(self, token_hash: str) -> bool:
        """Whether `given` is the hash of this token's text, and the token still stands; the time tells nothing."""
        return hmac.compare_digest(self.hash, token_hash) and self.revoked_at is None


def hash_token(text: bytes) -> str:
    """What is kept of a token's text."""
    return sha256(text).hexdigest()
