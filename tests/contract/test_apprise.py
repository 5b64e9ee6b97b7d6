"""Alerts go through apprise itself. It loads everything it can speak to, which takes seconds."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from company_network import Authority, listen_on_free_port

from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Channel, Delivery, NotificationTarget
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.core.secret import Redactor, Secret
from orchestrator.notify.sender_factory import build_sender

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
CANARY = "canary-4f1d-and-more"
PAYLOAD = Notification(topic=Topic.MODEL_READY, at=0.0, account="acme", fine_tuned_model="ft:x").to_payload()
DELIVERY = Delivery(id=1, message="m", target="env:TEAM", topic=Topic.MODEL_READY, payload=PAYLOAD, created_at=0.0)


@pytest.fixture
def messenger() -> Iterator[tuple[str, list[Any]]]:
    """A service that apprise speaks to: its host, and what it was sent."""
    sent: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200 if self.path == f"/{CANARY}" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    yield f"127.0.0.1:{server.server_address[1]}", sent
    server.shutdown()
    serving.join()
    server.server_close()


async def test_an_alert_arrives(messenger: tuple[str, list[Any]]) -> None:
    host, sent = messenger
    assert await alert(f"json://{host}/{CANARY}")(DELIVERY, 0.0) is None
    assert [(each["title"], each["message"]) for each in sent] == [("acme: the model is ready", "ft:x")]


async def test_refused_alert_returns_the_reason_and_logs_nothing(
    messenger: tuple[str, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = await alert(f"json://{messenger[0]}/{CANARY}-wrong")(DELIVERY, 0.0)
    assert error is not None
    assert "401" in error
    assert CANARY not in error
    assert logging.getLogger("apprise").propagate is False
    assert not [record for record in caplog.records if record.name != "apprise" and CANARY in record.getMessage()]


async def test_an_alert_goes_through_the_proxy(
    messenger: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, sent = messenger
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://{host}")
    await alert(f"json://alerts.works.example/{CANARY}")(DELIVERY, 0.0)
    assert [each["title"] for each in sent] == ["acme: the model is ready"]


@pytest.mark.parametrize("trusted", [True, False])
async def test_extra_certificate_authority_is_trusted_for_alerts(tmp_path: Path, trusted: bool) -> None:
    authority, sent = Authority(tmp_path), []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()

    async with listen_on_free_port(take, authority.server("localhost")) as port:
        network = OutboundNetwork({}, authority.file if trusted else None, Redactor())
        error = await alert(f"jsons://localhost:{port}/{CANARY}", network.ca_bundle)(DELIVERY, 0.0)
        network.close()
    assert (error is None, len(sent)) == (trusted, int(trusted))


def alert(address: str, ca_bundle: str | None = None) -> Any:
    target, redact = NotificationTarget(channel=Channel.ALERT, url="env:TEAM"), Redactor()
    redact.add_address(Secret(address))
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(500)))
    return build_sender(target, {"env:TEAM": Secret(address)}, lambda _: http, redact, ca_bundle)


def test_invalid_apprise_url_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError, match="env:TEAM is not an address that apprise supports") as caught:
        alert(f"nowhere://{CANARY}")
    assert CANARY not in f"{caught.value.message}{caught.value.hint}"


def test_alerts_without_apprise_are_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.delitem(sys.modules, "orchestrator.notify.apprise_sender", raising=False)
    with pytest.raises(ConfigError, match="need the package apprise") as caught:
        alert("json://host")
    assert "orchestrator[alerts]" in caught.value.hint
