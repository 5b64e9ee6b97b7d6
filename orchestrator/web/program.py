"""Program: what the doors may ask of the rest of it. `app` makes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.control import Verb
from orchestrator.core.token import Token
from orchestrator.status import Health, Status


class Act(Protocol):
    """Do what an operator asks, for these accounts or the run. Returns the accounts of which it was asked."""

    async def __call__(self, verb: Verb, accounts: Sequence[str], *, reason: str, by: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Everything the web room can reach. It opens no database and knows no clock: it is handed these."""

    now: Callable[[], float]
    status: Callable[[], Awaitable[Status]]
    health: Callable[[], Awaitable[Health]]
    tokens: Callable[[], Awaitable[Sequence[Token]]]
    token_used: Callable[[Token], Awaitable[None]]
    session_key: bytes
    act: Act
