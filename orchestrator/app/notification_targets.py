"""Notification targets: the webhook and alert endpoints of the accounts file, with their senders."""

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
    """Creates a sender for each target. `by_name` stays the same mapping object, because the worker holds it."""

    def __init__(self, redact: Redactor, network: OutboundNetwork) -> None:
        self.by_name: dict[str, DeliveryEndpoint] = {}
        self._redact = redact
        self._network = network
        self._client_by_route: dict[object, Any] = {}  # HTTP clients by proxy, or None for a direct connection
        self._exit_stack = AsyncExitStack()

    async def close(self) -> None:
        """Close all HTTP clients."""
        await self._exit_stack.aclose()

    async def configure(self, targets: Iterable[NotificationTarget], secrets: Mapping[str, Secret]) -> None:
        """Replace all targets.

        `secrets` has the resolved secrets by reference. Raises ConfigError; old targets then stay.
        """
        endpoints = {}
        for target in targets:
            send = await asyncio.to_thread(self._create_sender, target, secrets)  # apprise takes seconds to import
            endpoints[target.url] = DeliveryEndpoint(target, send)
        self.by_name.clear()
        self.by_name.update(endpoints)

    def _create_sender(self, target: NotificationTarget, secrets: Mapping[str, Secret]) -> Any:
        from orchestrator.notify.sender_factory import build_sender  # lazy: many installations have no targets

        return build_sender(target, secrets, self._get_client, self._redact, self._network.ca_bundle)

    def _get_client(self, url: str) -> Any:  # its type is imported lazily
        """Return the HTTP client for a URL. All URLs behind the same proxy share one client."""
        from orchestrator.notify.webhook_sender import build_client

        proxy = self._network.find_proxy_for_url(url)
        route = (proxy.url, proxy.authorization) if proxy else None
        if route not in self._client_by_route:
            self._client_by_route[route] = http = build_client(self._network.ssl_context, proxy)
            self._exit_stack.push_async_callback(http.aclose)
        return self._client_by_route[route]
