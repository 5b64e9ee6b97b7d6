"""Outgoing: the targets of the accounts file, ready to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any

from orchestrator.core.delivery import Target
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.courier import Addressee


class Outgoing:
    """Always the same mapping, whoever holds it."""

    def __init__(self, redact: Redactor) -> None:
        self.by_name: dict[str, Addressee] = {}
        self._redact = redact
        self._closing = AsyncExitStack()

    async def close(self) -> None:
        """Let go of every connection."""
        await self._closing.aclose()

    async def expect(self, targets: Iterable[Target], secrets: Mapping[str, Secret]) -> None:
        """From now on these targets are told. `secrets` is what each reference leads to. Raises ConfigError."""
        wanted = {}
        for target in targets:
            send = await asyncio.to_thread(self._sender, target, secrets)  # apprise takes seconds to load
            wanted[target.url] = Addressee(target, send)
        self.by_name.clear()
        self.by_name.update(wanted)

    def _sender(self, target: Target, secrets: Mapping[str, Secret]) -> Any:
        from orchestrator.alerts.senders import sender  # most installations tell nobody

        return sender(target, secrets, self._http, self._redact)

    @cached_property
    def _http(self) -> Any:  # only alerts know what it is
        from orchestrator.alerts.webhooks import client

        http = client()
        self._closing.push_async_callback(http.aclose)
        return http
