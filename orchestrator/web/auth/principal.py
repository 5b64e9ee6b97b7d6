"""Principal: who asks, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from orchestrator.core.access_token import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """Someone who came in, by the token `name`; without any token whoever is at this machine does.

    `session` is what a browser's forms must be bound to: None for a program that sends its token with every call.
    """

    name: str
    role: Role
    session: str | None = None

    @property
    def actor(self) -> str:
        """How the record of what happened names them."""
        return f"token:{self.name}" if self.name else "loopback"

    @property
    def may_act(self) -> bool:
        """Whether they may change anything."""
        return self.role is Role.OPERATOR


def get_principal(request: Request) -> Principal:
    """Who asks; the guard has let nobody else through."""
    known: Principal = request.state.principal
    return known
