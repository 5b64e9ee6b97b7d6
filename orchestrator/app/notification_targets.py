"""Outgoing: the targets of the accounts file, ready to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.notifications.delivery import NotificationTarget
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.delivery_worker import DeliveryEndpoint


class NotificationTargets:
    """Always the same mapping, whoever holds it."""

    def __init__(self, redact: Redactor, network: OutboundNetwork) -> None:
        self.by_name: dict[str, DeliveryEndpoint] = {}
        self._redact = redact
        self._network = network
        self._client_by_route: dict[object, Any] = {}  # by the way that leads there
        self._exit_stack = AsyncExitStack()

    async def close(self) -> None:
        """Let go of every connection."""
        await self._exit_stack.aclose()

    async def configure(self, targets: Iterable[NotificationTarget], secrets: Mapping[str, Secret]) -> None:
        """From now on these targets are told. `secrets` is what each reference leads to. Raises ConfigError."""
        wanted = {}
        for target in targets:
            send = await asyncio.to_thread(self._create_sender, target, secrets)  # apprise takes seconds to load
            wanted[target.url] = DeliveryEndpoint(target, send)
        self.by_name.clear()
        self.by_name.update(wanted)

    def _create_sender(self, target: NotificationTarget, secrets: Mapping[str, Secret]) -> Any:
        from orchestrator.notify.sender_factory import build_sender  # most installations tell nobody

        return build_sender(target, secrets, self._get_client, self._redact, self._network.ca_bundle)

    def _get_client(self, address: str) -> Any:  # only alerts know what it is
        """The client for all addresses that are reached by the same way."""
        from orchestrator.notify.webhook_sender import build_client

        proxy = self._network.find_proxy_for_url(address)
        way = (proxy.url, proxy.authorization) if proxy else None
        if way not in self._client_by_route:
            self._client_by_route[way] = http = build_client(self._network.ssl_context, proxy)
            self._exit_stack.push_async_callback(http.aclose)
        return self._client_by_route[way]
