"""Door: who may come in. By bearer token, or by the session that a browser got for one."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from fastapi import Request
from fastapi.responses import Response

from orchestrator.core.token import ENVIRONMENT, Role, Token, hash_of
from orchestrator.web.attempts import Attempts, address_of
from orchestrator.web.principal import Principal
from orchestrator.web.problem import Refused
from orchestrator.web.program import Program

COOKIE: Final = "orchestrator_session"
SESSION_SECONDS: Final = 12 * 3600
UNGUESSABLE_LENGTH: Final = 32
"""Bytes from which on a right token is let in however many wrong ones came.

A shorter one might be a lucky guess: it has to wait like every other, and anyone can cause that wait. Tokens that the
program made never wait.
"""
USE_SECONDS: Final = 300.0  # a use this soon after the one that was noted is not noted


class Door:
    """Knows the tokens. Where there never was one, everyone who reaches this machine's own address is let in."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._attempts = Attempts()

    async def locked(self) -> bool:
        """Whether a token is needed. The last one's end opens nothing: a revoked token locks too."""
        return bool(await self._program.tokens())

    async def who(self, request: Request) -> Principal | None:
        """Who asks, or None for a stranger. Raises `Refused` where too many wrong tokens came from."""
        tokens = await self._program.tokens()
        if not tokens:
            return Principal("", Role.OPERATOR, session="")
        given = bearer(request)
        if given is not None:
            token = await self._opening(given.encode("latin-1"), tokens, request)
            return Principal(token.name, token.role) if token else None
        return self._by_session(request.cookies.get(COOKIE, ""), tokens)

    async def let_in(self, text: str, request: Request, response: Response) -> bool:
        """Give the browser a session if this is the text of one of our tokens. Raises `Refused` as `who` does."""
        token = await self._opening(text.encode(), await self._program.tokens(), request)
        if token is None:
            return False
        session = f"{int(self._program.now()) + SESSION_SECONDS}.{secrets.token_hex(8)}"
        response.set_cookie(
            COOKIE,
            f"{session}.{self._sign(token, session)}",
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return True

    def let_out(self, response: Response) -> None:
        """Take the browser's session away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def csrf(self, principal: Principal) -> str:
        """What this session's forms must carry, and no other site can know."""
        return self._keyed(f"csrf {principal.session}")

    async def _opening(self, given: bytes, tokens: Sequence[Token], request: Request) -> Token | None:
        known, now = hash_of(given), self._program.now()
        token = next((token for token in tokens if token.opens_with(known)), None)
        if token is None or (token.name == ENVIRONMENT and len(given) < UNGUESSABLE_LENGTH):
            self._count(address_of(request), self._program.boottime(), failed=token is None)
        if token and now - (token.last_used_at or 0.0) > USE_SECONDS:
            await self._program.token_used(token)
        return token

    def _count(self, address: str, now: float, *, failed: bool) -> None:
        if wait := self._attempts.wait(address, now):
            raise Refused(
                429,
                "too many wrong tokens came from there",
                f"Try again in {wait} s, with the right one.",
                headers={"Retry-After": str(wait)},
            )
        if failed:
            self._attempts.failed(address, now)

    def _by_session(self, cookie: str, tokens: Sequence[Token]) -> Principal | None:
        session, _, signature = cookie.rpartition(".")
        until = session.partition(".")[0]
        if not (cookie.isascii() and until.isdigit()) or len(until) > 12 or int(until) <= self._program.now():
            return None
        for token in tokens:
            if token.revoked_at is None and hmac.compare_digest(self._sign(token, session), signature):
                return Principal(token.name, token.role, session)
        return None

    def _sign(self, token: Token, session: str) -> str:
        """Signed for the token: when it is revoked or changed, its sessions are over."""
        return self._keyed(f"session {token.name} {token.role} {token.hash} {session}")

    def _keyed(self, text: str) -> str:
        return hmac.new(self._program.session_key, text.encode(), sha256).hexdigest()


def bearer(request: Request) -> str | None:
    """The token that a program sent along, if it sent one."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None
