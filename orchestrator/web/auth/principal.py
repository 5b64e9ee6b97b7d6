"""The authenticated client of a request and its permissions."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from orchestrator.core.access_token import Role
from orchestrator.core.structs import Struct


class Principal(Struct, frozen=True):
    """The authenticated client. Without configured tokens, any loopback client is an operator with an empty name."""

    name: str
    """Name of the access token; empty if no tokens are configured."""
    role: Role
    session: str | None = None
    """Session to which CSRF tokens are bound: "" without tokens, None for a client that sends a bearer token."""

    @property
    def actor(self) -> str:
        """Name of the client in the event history."""
        return f"token:{self.name}" if self.name else "loopback"

    @property
    def may_act(self) -> bool:
        """Whether the client may change anything."""
        return self.role is Role.OPERATOR


def get_principal(request: Request) -> Principal:
    """Return the client of an authenticated request. The security middleware has rejected all others."""
    principal: Principal = request.state.principal
    return principal


CurrentPrincipal = Annotated[Principal, Depends(get_principal)]
"""Parameter type of a route that needs the authenticated client."""
