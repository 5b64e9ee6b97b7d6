"""Program: what the doors may ask of the rest of it. `app` makes one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from orchestrator.core.access_token import AccessToken
from orchestrator.core.account import Account
from orchestrator.status import Health, MetricsSnapshot

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseCaller(Protocol):
    """Calls a function of `status` or `control` with the database before its other arguments."""

    async def __call__(
        self, function: Callable[Concatenate[Any, P], Awaitable[T]], /, *arguments: P.args, **options: P.kwargs
    ) -> T: ...


WebhookCallback = Callable[[str, Mapping[str, str], bytes], Awaitable[bool]]
"""Takes account, headers (names in lower case) and body of a webhook; False when it is not genuine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebBackend:
    """Everything the web room can reach. It never holds the database and knows no clock: it is handed these."""

    now: Callable[[], float]
    boottime: Callable[[], float]
    """Seconds on a clock that nobody sets, to measure with."""
    call_with_database: DatabaseCaller
    check_health: Callable[[], Awaitable[Health]]
    render_metrics: Callable[[MetricsSnapshot], bytes]
    list_tokens: Callable[[], Awaitable[Sequence[AccessToken]]]
    record_token_use: Callable[[AccessToken], Awaitable[None]]
    session_key: bytes
    receive_webhook: WebhookCallback
    get_accounts: Callable[[], Mapping[str, Account]] = dict
    """The accounts in force, by name; without their keys."""
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever this process has written something; whoever waits for the next time clears it."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is asked to end: streams end with it."""
    max_event_streams: int = 200
    """Event streams of this process at once; each holds a connection for as long as it lasts."""
