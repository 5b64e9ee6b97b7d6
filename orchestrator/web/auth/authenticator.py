"""Door: who may come in. By bearer token, or by the session that a browser got for one."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from orchestrator.core.access_token import ENVIRONMENT_TOKEN_NAME, AccessToken, Role, hash_token
from orchestrator.web.auth.login_throttle import LoginThrottle, client_address
from orchestrator.web.auth.principal import Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

SESSION_COOKIE_NAME: Final = "orchestrator_session"
SESSION_LIFETIME_SECONDS: Final = 12 * 3600
MIN_STRONG_TOKEN_BYTES: Final = 32
"""Bytes from which on a right token is let in however many wrong ones came.

A shorter one might be a lucky guess: it has to wait like every other, and anyone can cause that wait. Tokens that the
program made never wait.
"""
TOKEN_USE_INTERVAL_SECONDS: Final = 300.0  # a use this soon after the one that was noted is not noted


class Authenticator:
    """Knows the tokens. Where there never was one, everyone who reaches this machine's own address is let in."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._throttle = LoginThrottle()

    async def is_enabled(self) -> bool:
        """Whether a token is needed. The last one's end opens nothing: a revoked token locks too."""
        return bool(await self._backend.list_tokens())

    async def authenticate(self, request: Request) -> Principal | None:
        """Who asks, or None for a stranger. Raises `ProblemError` where too many wrong tokens came from."""
        tokens = await self._backend.list_tokens()
        if not tokens:
            return Principal("", Role.OPERATOR, session="")
        given = find_bearer_token(request)
        if given is not None:
            token = await self._find_token(given.encode("latin-1"), tokens, request)
            return Principal(token.name, token.role) if token else None
        return self._authenticate_session(request.cookies.get(SESSION_COOKIE_NAME, ""), tokens)

    async def login(self, text: str, request: Request, response: Response) -> bool:
        """Give the browser a session if this is the text of one of our tokens. Raises `ProblemError` as `who`
        does.
        """
        token = await self._find_token(text.encode(), await self._backend.list_tokens(), request)
        if token is None:
            return False
        session = f"{int(self._backend.now()) + SESSION_LIFETIME_SECONDS}.{secrets.token_hex(8)}"
        response.set_cookie(
            SESSION_COOKIE_NAME,
            f"{session}.{self._sign_session(token, session)}",
            max_age=SESSION_LIFETIME_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return True

    def logout(self, response: Response) -> None:
        """Take the browser's session away."""
        response.delete_cookie(SESSION_COOKIE_NAME, httponly=True, samesite="strict")

    def build_csrf_token(self, principal: Principal) -> str:
        """What this session's forms must carry, and no other site can know."""
        return self._hmac_hex(f"csrf {principal.session}")

    async def _find_token(self, secret: bytes, tokens: Sequence[AccessToken], request: Request) -> AccessToken | None:
        known, now = hash_token(secret), self._backend.now()
        token = next((token for token in tokens if token.matches(known)), None)
        if token is None or (token.name == ENVIRONMENT_TOKEN_NAME and len(secret) < MIN_STRONG_TOKEN_BYTES):
            self._check_throttle(client_address(request), self._backend.boottime(), failed=token is None)
        if token and now - (token.last_used_at or 0.0) > TOKEN_USE_INTERVAL_SECONDS:
            await self._backend.record_token_use(token)
        return token

    def _check_throttle(self, address: str, now: float, *, failed: bool) -> None:
        if wait := self._throttle.wait_seconds(address, now):
            raise ProblemError(
                429,
                "too many wrong tokens came from there",
                f"Try again in {wait} s, with the right one.",
                headers={"Retry-After": str(wait)},
            )
        if failed:
            self._throttle.record_failure(address, now)

    def _authenticate_session(self, cookie: str, tokens: Sequence[AccessToken]) -> Principal | None:
        session, _, signature = cookie.rpartition(".")
        until = session.partition(".")[0]
        if not (cookie.isascii() and until.isdigit()) or len(until) > 12 or int(until) <= self._backend.now():
            return None
        for token in tokens:
            if token.revoked_at is None and hmac.compare_digest(self._sign_session(token, session), signature):
                return Principal(token.name, token.role, session)
        return None

    def _sign_session(self, token: AccessToken, session: str) -> str:
        """Signed for the token: when it is revoked or changed, its sessions are over."""
        return self._hmac_hex(f"session {token.name} {token.role} {token.hash} {session}")

    def _hmac_hex(self, text: str) -> str:
        return hmac.new(self._backend.session_key, text.encode(), sha256).hexdigest()


def find_bearer_token(request: Request) -> str | None:
    """The token that a program sent along, if it sent one."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None
