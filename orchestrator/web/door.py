"""Door: who may come in. By bearer token, or by the session that a browser got for one."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from orchestrator.core.secret import Secret

COOKIE: Final = "orchestrator_session"
SESSION_SECONDS: Final = 12 * 3600


class Role(StrEnum):
    """What someone who came in may do."""

    OPERATOR = "operator"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class _Key:
    role: Role
    token: Secret

    def opens_with(self, given: bytes) -> bool:
        known = sha256(self.token.reveal().encode()).digest()  # of equal length, so that the time tells nothing
        return hmac.compare_digest(known, sha256(given).digest())

    def sign(self, expires: int) -> str:
        """Signed with the token itself: a restart keeps the session, a changed token ends it."""
        message = f"session {self.role} {expires}".encode()
        return hmac.new(self.token.reveal().encode(), message, sha256).hexdigest()


class Door:
    """Knows the tokens. Without any, everyone who reaches this machine's own address is let in."""

    def __init__(self, token: Secret | None, read_token: Secret | None, now: Callable[[], float]) -> None:
        pairs = ((Role.OPERATOR, token), (Role.READER, read_token))
        self._keys: Sequence[_Key] = [_Key(role, secret) for role, secret in pairs if secret is not None]
        self._now = now

    @property
    def locked(self) -> bool:
        """Whether a token is needed."""
        return bool(self._keys)

    def role(self, request: Request) -> Role | None:
        """Who asks, or None for a stranger."""
        if not self.locked:
            return Role.OPERATOR
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            key = self._key_for(given.strip().encode("latin-1"))
            return key.role if key else None
        return self._by_session(request.cookies.get(COOKIE, ""))

    def let_in(self, token: str, response: Response, *, secure: bool) -> bool:
        """Give the browser a session if the token is one of ours."""
        key = self._key_for(token.encode())
        if key is None:
            return False
        expires = int(self._now()) + SESSION_SECONDS
        response.set_cookie(
            COOKIE,
            f"{expires}.{key.sign(expires)}",
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return True

    def let_out(self, response: Response) -> None:
        """Take the browser's session away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def _key_for(self, given: bytes) -> _Key | None:
        return next((key for key in self._keys if key.opens_with(given)), None)

    def _by_session(self, cookie: str) -> Role | None:
        until, _, signature = cookie.partition(".")
        if not (until.isascii() and until.isdigit() and signature.isascii()) or len(until) > 12:
            return None
        expires = int(until)
        if expires <= self._now():
            return None
        return next((key.role for key in self._keys if hmac.compare_digest(key.sign(expires), signature)), None)
