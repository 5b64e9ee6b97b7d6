"""Outgoing requests: no address, redirect or answer of the DNS leads the service to a metadata service."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from raw_server import http_answer, serve_raw

from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Channel, Delivery, NotificationTarget
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.accounts_file.loader import load_accounts_file, parse_accounts_file
from orchestrator.inputs.accounts_file.targets import list_proxy_references, list_secret_references
from orchestrator.inputs.secrets.references import resolve_secrets
from orchestrator.notify.sender_factory import build_sender
from orchestrator.providers.http.client import create_http_client
from orchestrator.providers.http.plain_peer import check_plain_peer
from orchestrator.providers.http.transport_errors import ConnectionFailed
from orchestrator.providers.http.upload_address import find_upload_address_problem

METADATA = [
    "http://169.254.169.254",
    "https://169.254.169.254",
    "http://169.254.170.2",  # containers at Amazon
    "http://[fe80::1]",
    "http://[fd00:ec2::254]",
    "http://[::ffff:169.254.169.254]",
    "http://100.100.100.200",  # Alibaba
    "http://metadata.google.internal",
    "http://METADATA.google.internal.",
]
FILE = """\
[run]
name = "x"
dataset = "chats"
[run.openai]
base_model = "m"
[[accounts]]
name = "acme"
provider = "openai-compatible"
api_key = "env:K"
allow_http = true
base_url = "{base_url}"
{line}
"""
KEY = "sk-canary-0123456789"


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("option", ["base_url", "proxy", "webhook"])
def test_an_address_of_a_metadata_service_is_refused(address: str, option: str) -> None:
    lines = {"proxy": f'proxy = "{address}:80"', "webhook": f'[[webhooks]]\nurl = "{address}/x"\nsecret = "env:S"'}
    base_url = f"{address}/v1" if option == "base_url" else "http://10.0.0.1/v1"
    text = FILE.format(base_url=base_url, line=lines.get(option, "")).replace(
        "[run.openai]", "[run.openai-compatible]"
    )
    with pytest.raises(ConfigError) as refused:
        parse_accounts_file(Path("/nowhere/accounts.toml"), text)
    assert [problem for problem in refused.value.problems if "metadata service" in problem]


@pytest.mark.parametrize("address", METADATA)
def test_a_referenced_address_of_a_metadata_service_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = 'proxy = "env:PROXY"\n[[webhooks]]\nurl = "env:HOOK"\nsecret = "env:S"\n[[alerts]]\nurl = "env:ALERT"'
    text = FILE.format(base_url="http://10.0.0.1/v1", line=line)
    (tmp_path / "accounts.toml").write_text(text.replace("[run.openai]", "[run.openai-compatible]"))
    file = load_accounts_file(tmp_path / "accounts.toml")
    host = address.partition("://")[2]
    for name, value in {
        "S": "whsec_" + "QUFB" * 8,
        "HOOK": f"{address}/token-0123456789",
        "ALERT": f"json://{host}/token-0123456789",
        "PROXY": f"http://user:secret-0123456789@{host}:3128",
    }.items():
        monkeypatch.setenv(name, value)
    references = [*list_secret_references(file.accounts, file.targets), *list_proxy_references(file.accounts)]
    with pytest.raises(ConfigError) as refused:
        resolve_secrets(references, base_folder=tmp_path, redact=Redactor())
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "[[webhooks]]", "[[alerts]]", "[[accounts]] acme",
    ]  # fmt: skip
    assert host not in str(refused.value.problems)


@pytest.mark.parametrize("base_url", ["https://api.together.ai/v1", "http://10.0.0.1/v1", "http://127.0.0.1:1/v1"])
@pytest.mark.parametrize("address", METADATA)
def test_upload_address_of_a_metadata_service_is_refused(address: str, base_url: str) -> None:
    assert find_upload_address_problem(f"{address}/upload", base_url)


async def test_a_name_that_leads_to_a_metadata_service_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The DNS answers with another address than at the time of the check. 127.0.0.2 plays the metadata service."""
    addresses = ["127.0.0.1", "127.0.0.2"]
    monkeypatch.setattr(
        "orchestrator.providers.http.plain_peer.is_metadata_service", lambda address: address == "127.0.0.2"
    )

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses[0], port))]

    heard: list[bytes] = []
    async with listen(heard) as port:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        for count in (1, 1):
            async with create_http_client(5) as http:
                sending = http.get(f"http://internal.example:{port}/v1", {"authorization": f"Bearer {KEY}"})
                if addresses[0] == "127.0.0.1":
                    assert (await sending).status == 200
                else:
                    with pytest.raises(httpx2.ConnectError, match=r"internal.example leads to 127.0.0.2, a metadata"):
                        await sending
            assert b"".join(heard).count(KEY.encode()) == count
            addresses.pop(0)


@asynccontextmanager
async def listen(heard: list[bytes]) -> AsyncIterator[int]:
    """Listen on all addresses of this machine's loopback network, and record what is received."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http_answer())
        await writer.drain()
        writer.close()

    first = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    async with first, await asyncio.start_server(handle, "127.0.0.2", port):
        yield port


@pytest.mark.parametrize(
    ("address", "host", "allowed"),
    [
        ("169.254.169.254", "internal.example", False),
        ("169.254.169.254", "0xa9.0xfe.43518", False),  # other spellings of an address
        ("fe80::1%eth0", "internal.example", False),
        ("8.8.8.8", "internal.example", False),
        ("169.254.169.254", "169.254.169.254", True),  # google-auth's own request; the accounts file has none
        ("169.254.169.254", "metadata.google.internal", True),
        ("10.0.0.1", "internal.example", True),
        ("127.0.0.1", "localhost", True),
    ],
)
def test_the_peer_of_a_plain_connection_is_checked(address: str, host: str, allowed: bool) -> None:
    if allowed:
        check_plain_peer(address, host)
    else:
        with pytest.raises(ConnectionFailed):
            check_plain_peer(address, host)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
async def test_no_redirect_of_a_notification_target_is_followed() -> None:
    """Neither a webhook nor an alert goes to another server than the one in the accounts file."""
    pytest.importorskip("apprise")
    reached: list[bytes] = []

    async def record(writer: asyncio.StreamWriter) -> None:
        reached.append(b"reached")
        writer.write(http_answer())

    notification = Notification(topic=Topic.MODEL_READY, at=0.0, account="acme", fine_tuned_model="ft:x")
    delivery = Delivery(
        id=1, message="m", target="t", topic=Topic.MODEL_READY, payload=notification.to_payload(), created_at=0.0
    )
    async with serve_raw(record) as elsewhere, httpx2.AsyncClient() as client:
        for status in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"):
            redirect = http_answer(status=status, headers=f"location: {elsewhere}/internal\r\nconnection: close\r\n")
            async with serve_raw(redirect) as url:
                for target in (
                    NotificationTarget(channel=Channel.WEBHOOK, url=url, secret="env:S"),
                    NotificationTarget(channel=Channel.ALERT, url="env:ALERT"),
                ):
                    secrets = {
                        "env:S": Secret("whsec_" + "QUFB" * 8),
                        "env:ALERT": Secret(url.replace("http", "json")),
                    }
                    send = build_sender(target, secrets, lambda _: client, Redactor())
                    assert await send(delivery, 0.0), "it counts as failed"
    assert reached == []
