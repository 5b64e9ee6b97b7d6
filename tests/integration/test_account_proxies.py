"""The ways out that the wiring makes: one client for each, and a new one where a reference leads elsewhere."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from company_network import ConnectProxy, listen_on_free_port

from orchestrator.app import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.control import ListedAccount
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderError
from orchestrator.core.notifications.delivery import Channel, NotificationTarget
from orchestrator.core.secret import Redactor, Secret

KEY = Secret("sk-1234567890")
SIGNING = Secret("whsec_" + b64encode(b"a key of some twenty bytes").decode())


def account(**options: object) -> Account:
    values = {"name": "acme", "provider": ProviderName.OPENAI_COMPATIBLE, "api_key": "env:K"}
    return Account(**{**values, "base_url": "https://trainer.works.example/v1", **options})  # type: ignore[arg-type]


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[ConnectProxy, int]]:
    proxy = ConnectProxy({}, user="works", password="second-password")
    async with listen_on_free_port(proxy) as port:
        yield proxy, port


async def test_replaced_proxy_password_is_used(proxy: tuple[ConnectProxy, int], tmp_path: Path) -> None:
    heard, port = proxy
    network = OutboundNetwork({}, None, Redactor())
    connections = Connections(tmp_path, network, max_in_flight=2, redact=Redactor(), clock=SystemClock().boottime)
    listed = account(proxy="env:P")
    for password in ("first-password", "second-password"):
        connections.connect_accounts(
            [listed], {"acme": KEY}, {"env:P": Secret(f"http://works:{password}@127.0.0.1:{port}")}
        )
        with pytest.raises(ProviderError):
            async with asyncio.timeout(60):
                await connections.by_name["acme"].provider.verify()
    await connections.close()
    assert heard.refused == ["trainer.works.example:443"]
    assert set(heard.log) == {"CONNECT trainer.works.example:443"}


@pytest.mark.parametrize(("option", "asked"), [("none", False), (None, True)])
async def test_account_proxy_overrides_the_default_proxy(
    proxy: tuple[ConnectProxy, int], tmp_path: Path, option: str | None, asked: bool
) -> None:
    heard, port = proxy
    network = OutboundNetwork({"ALL_PROXY": f"http://127.0.0.1:{port}"}, None, Redactor())
    connections = Connections(tmp_path, network, max_in_flight=2, redact=Redactor(), clock=SystemClock().boottime)
    connections.connect_accounts([account(proxy=option, base_url="https://192.0.2.1/v1")], {"acme": KEY})
    found = network.find_proxy(account(proxy=option), {})
    assert (found is not None) == asked
    if asked:
        with pytest.raises(ProviderError):
            await connections.by_name["acme"].provider.verify()
    await connections.close()
    assert bool(heard.refused) == asked


async def test_webhooks_with_the_same_proxy_share_a_client() -> None:
    environ = {"HTTPS_PROXY": "http://works:password@127.0.0.1:9", "NO_PROXY": "inside.example"}
    outgoing = NotificationTargets(Redactor(), OutboundNetwork(environ, None, Redactor()))
    urls = ("https://a.example/1", "https://b.example/2", "https://inside.example/3", "http://127.0.0.1:1/4")
    targets = [NotificationTarget(channel=Channel.WEBHOOK, url=url, secret="env:S") for url in urls]
    for _ in range(3):
        await outgoing.configure(targets, {"env:S": SIGNING})
    clients = {id(addressee.send._http) for addressee in outgoing.by_name.values()}  # type: ignore[attr-defined]
    assert len(clients) == 2
    assert len(outgoing._client_by_route) == 2
    await outgoing.close()


def test_only_an_account_with_its_own_proxy_changes_its_definition() -> None:
    """The digest is in the databases of earlier versions, where no account had one."""
    assert ListedAccount(account(), "12345678").definition == "aae495bc280b9119"
    assert (
        ListedAccount(account(proxy="none"), "12345678").definition != ListedAccount(account(), "12345678").definition
    )
    assert (
        ListedAccount(account(allow_http=True), "12345678").definition
        == ListedAccount(account(), "12345678").definition
    )
