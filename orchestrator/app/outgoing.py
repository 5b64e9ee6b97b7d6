"""Outgoing: the targets of the accounts file, ready to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from orchestrator.app.network import Network
from orchestrator.core.delivery import Target
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.courier import Addressee


class Outgoing:
    """Always the same mapping, whoever holds it."""

    def __init__(self, redact: Redactor, network: Network) -> None:
        self.by_name: dict[str, Addressee] = {}
        self._redact = redact
        self._network = network
        self._clients: dict[object, Any] = {}  # by the way that leads there
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

        return sender(target, secrets, self._client, self._redact, self._network.ca_bundle)

    def _client(self, address: str) -> Any:  # only alerts know what it is
        """The client for all addresses that are reached by the same way."""
        from orchestrator.alerts.webhooks import client

        proxy = self._network.find_for(address)
        way = (proxy.url, proxy.authorization) if proxy else None
        if way not in self._clients:
            self._clients[way] = http = client(self._network.context, proxy)
            self._closing.push_async_callback(http.aclose)
        return self._clients[way]
