"""Authenticates requests by bearer token or by a session cookie that was issued for a token."""

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

# Theory of operation. A client authenticates in one of three ways:
#
#  * Bearer token: the SHA-256 of the token is compared in constant time with the stored hash of every token. The
#    database holds no token, only hashes.
#  * Session cookie: the login page exchanges a token for a cookie "EXPIRY.NONCE.SIGNATURE". Sessions are not stored:
#    the signature is an HMAC over the session, the token's name, role and hash, with a key that all replicas share if
#    a token is configured in the settings. Revoking or replacing a token therefore ends its sessions at once.
#  * No token at all: if no token was ever created, every client that uses a loopback host name is an operator.
#    The middleware checks the host name.
#
# The CSRF token is an HMAC over the session with the same key, so that it does not have to be stored either.

SESSION_COOKIE_NAME: Final = "orchestrator_session"
SESSION_LIFETIME_SECONDS: Final = 12 * 3600
MIN_STRONG_TOKEN_BYTES: Final = 32
"""Length from which a valid token is exempt from the login throttle.

A shorter token could be guessed, so it has to wait like any other attempt, although any client can cause that wait.
Tokens created by the program are longer and never wait.
"""
TOKEN_USE_INTERVAL_SECONDS: Final = 300.0  # at most one database write per token in this time


class Authenticator:
    """Authenticates clients. If no token was ever created, any client on this machine is an operator."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._throttle = LoginThrottle()

    async def is_enabled(self) -> bool:
        """Return whether clients need a token. Revoked ones count: revoking the last must not open the service."""
        return bool(await self._backend.list_tokens())

    async def authenticate(self, request: Request, tokens: Sequence[AccessToken] | None = None) -> Principal | None:
        """Return the client of the request, None if it is not authenticated.

        `tokens` are all access tokens, if they have been read already.
        Raises ProblemError (429) after too many failed attempts from the client's address.
        """
        if tokens is None:
            tokens = await self._backend.list_tokens()
        if not tokens:
            return Principal("", Role.OPERATOR, session="")
        bearer = find_bearer_token(request)
        if bearer is not None:
            token = await self._find_token(bearer.encode("latin-1"), tokens, request)
            return Principal(token.name, token.role) if token else None
        return self._authenticate_session(request.cookies.get(SESSION_COOKIE_NAME, ""), tokens)

    async def login(self, text: str, request: Request, response: Response) -> bool:
        """Set a session cookie on the response if `text` is a valid token; return whether it is.

        Raises ProblemError (429) after too many failed attempts from the client's address.
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
        """Delete the session cookie."""
        response.delete_cookie(SESSION_COOKIE_NAME, httponly=True, samesite="strict")

    def build_csrf_token(self, principal: Principal) -> str:
        """Return the CSRF token of the client's session; other sites cannot compute it."""
        return self._hmac_hex(f"csrf {principal.session}")

    async def _find_token(self, secret: bytes, tokens: Sequence[AccessToken], request: Request) -> AccessToken | None:
        digest, now = hash_token(secret), self._backend.now()
        token = next((token for token in tokens if token.matches(digest)), None)  # compares in constant time
        if token is None or (token.name == ENVIRONMENT_TOKEN_NAME and len(secret) < MIN_STRONG_TOKEN_BYTES):
            self._check_throttle(client_address(request), self._backend.boottime(), failed=token is None)
        if token and now - (token.last_used_at or 0.0) > TOKEN_USE_INTERVAL_SECONDS:
            await self._backend.record_token_use(token)
        return token

    def _check_throttle(self, address: str, now: float, *, failed: bool) -> None:
        if wait := self._throttle.wait_seconds(address, now):
            raise ProblemError(
                429,
                "Too many failed login attempts from this address.",
                f"Try again in {wait} s.",
                headers={"Retry-After": str(wait)},
            )
        if failed:
            self._throttle.record_failure(address, now)

    def _authenticate_session(self, cookie: str, tokens: Sequence[AccessToken]) -> Principal | None:
        session, _, signature = cookie.rpartition(".")
        expires_at = session.partition(".")[0]
        if not (cookie.isascii() and expires_at.isdigit()) or len(expires_at) > 12:
            return None
        if int(expires_at) <= self._backend.now():
            return None
        for token in tokens:
            if token.revoked_at is None and hmac.compare_digest(self._sign_session(token, session), signature):
                return Principal(token.name, token.role, session)
        return None

    def _sign_session(self, token: AccessToken, session: str) -> str:
        """Sign a session. The signature covers the token's hash, so that a replaced token ends its sessions."""
        return self._hmac_hex(f"session {token.name} {token.role} {token.hash} {session}")

    def _hmac_hex(self, text: str) -> str:
        return hmac.new(self._backend.session_key, text.encode(), sha256).hexdigest()


def find_bearer_token(request: Request) -> str | None:
    """Return the token of the `Authorization: Bearer` header, None if there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
