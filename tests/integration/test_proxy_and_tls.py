"""Out of a company's network: through its proxy, with its own authority, and never after a deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from company_network import Authority, ConnectProxy, listen_on_free_port

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import CertificateNotTrusted, ProviderUnavailable, ProxyRefused
from orchestrator.core.proxy import ProxyRules
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.notify.webhook_sender import build_client as webhook_client
from orchestrator.providers.base import Deadline, JobOrder, Provider
from orchestrator.providers.fireworks import fireworks_provider
from orchestrator.providers.http.certificates import build_ssl_context
from orchestrator.providers.http.client import HttpClient, create_http_client
from orchestrator.providers.http.deadline import DeadlinePassed, send_deadline
from orchestrator.providers.http.network import NetworkConfig
from orchestrator.providers.openai import openai_provider

NAME = "api.works.example"
BODY = b"train"
PASSWORD = "hunter2-and-more"
ORDER = JobOrder(tag="t", spec=TrainingSpec(base_model="m"), training_file="f", validation_file=None)


class Stage:
    """A server behind TLS, a proxy on the way to it, and the clients of this program."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.heard = b""
        self.whole = asyncio.Event()

    async def open(self, stack: AsyncExitStack) -> None:
        self.port = await stack.enter_async_context(
            listen_on_free_port(self._serve, self.authority.server(NAME, "localhost"))
        )
        self.plain_port = await stack.enter_async_context(listen_on_free_port(self._serve))
        self.proxy = ConnectProxy({NAME: self.port}, user="works", password=PASSWORD)
        self.proxy_port = await stack.enter_async_context(listen_on_free_port(self.proxy))
        self._stack = stack

    @property
    def proxy_url(self) -> str:
        return f"http://works:{PASSWORD}@127.0.0.1:{self.proxy_port}"

    async def client(self, *, trusted: bool = True, **environ: str) -> HttpClient:
        context = build_ssl_context(self.authority.file if trusted else None, {})
        network = NetworkConfig(ProxyRules.from_environment({"HTTPS_PROXY": self.proxy_url} | environ), context)
        return await self._stack.enter_async_context(create_http_client(5, network))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(4096):
            self.heard += part
            if self.heard.endswith((BODY, b"\r\n\r\n")):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        stage = Stage(tmp_path)
        await stage.open(stack)
        yield stage


def provider_of(http: HttpClient, dialect: Any, address: str, redact: Redactor | None = None) -> Provider:
    name = ProviderName.OPENAI if dialect is openai_provider else ProviderName.FIREWORKS
    account = Account(name="acme", provider=name, api_key="env:K", base_url=f"{address}/v1", organization="o")
    provider: Provider = dialect.build_provider_factory(http, redact or Redactor())(account, Secret("sk-1234567890"))
    return provider


async def test_calls_go_through_the_proxy_and_only_it_gets_its_password(stage: Stage) -> None:
    http = await stage.client()
    assert (await http.get(f"https://{NAME}/v1/models", {"authorization": "Bearer k"})).content == b"ok"
    assert (await http.sdk_client.post(f"https://{NAME}/v1/jobs", content=BODY)).text == "ok"
    assert set(stage.proxy.log) == {f"CONNECT {NAME}:443"}
    assert b"proxy-authorization" not in stage.heard.lower()
    assert b"Bearer k" in stage.heard
    assert b"Bearer k" not in stage.proxy.received


async def test_plain_http_uses_the_absolute_form_at_the_proxy(stage: Stage) -> None:
    http = await stage.client(HTTP_PROXY=stage.proxy_url)
    assert (await http.get("http://inside.works.example/v1", {})).content == b"ok"
    assert stage.proxy.log == ["GET http://inside.works.example/v1"]


async def test_no_proxy_hosts_are_reached_directly(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def here(host: str, *rest: Any, **options: Any) -> Any:
        return await look_up("127.0.0.1", *rest, **options)

    monkeypatch.setattr(loop, "getaddrinfo", here)
    http = await stage.client(NO_PROXY="other.example, .works.example")
    assert (await http.get(f"https://{NAME}:{stage.port}/v1/models", {})).content == b"ok"
    assert stage.proxy.log == []


async def test_a_webhook_goes_through_the_proxy_too(stage: Stage) -> None:
    context = build_ssl_context(stage.authority.file, {})
    proxy = ProxyRules.from_environment({"HTTPS_PROXY": stage.proxy_url}).find(f"https://{NAME}/hook")
    async with webhook_client(context, proxy) as http:
        assert (await http.post(f"https://{NAME}/hook", content=BODY)).text == "ok"
    assert stage.proxy.log == [f"CONNECT {NAME}:443"]


@pytest.mark.parametrize("point", ["connecting", "connected"])
async def test_process_frozen_in_the_tunnel_sends_nothing(stage: Stage, point: str) -> None:
    """The process stands still while the proxy connects, and just after it answered."""
    now = 0.0

    async def freeze() -> None:
        nonlocal now
        now = 100.0

    setattr(stage.proxy, point, freeze)
    http = await stage.client()
    with send_deadline(Deadline(10.0, lambda: now)), pytest.raises(DeadlinePassed):
        await http.sdk_client.post(f"https://{NAME}/v1/jobs", content=BODY)
    await asyncio.sleep(0.1)
    assert stage.proxy.log == [f"CONNECT {NAME}:443"]
    assert stage.heard == b""


def frozen_clock(looks: int) -> Callable[[], float]:
    times = iter([0.0] * looks)
    return lambda: next(times, 100.0)


@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_process_frozen_before_the_last_byte_never_completes_in_a_tunnel(stage: Stage, looks: int) -> None:
    http = await stage.client()
    with send_deadline(Deadline(10.0, frozen_clock(looks))), pytest.raises(DeadlinePassed):
        await http.sdk_client.post(f"https://{NAME}/v1/jobs", content=BODY)
    await asyncio.sleep(0.1)
    assert BODY not in stage.heard


async def test_request_in_time_is_sent_through_the_tunnel(stage: Stage) -> None:
    http = await stage.client()
    with send_deadline(Deadline(10.0, lambda: 9.9)):
        assert (await http.sdk_client.post(f"https://{NAME}/v1/jobs", content=BODY)).text == "ok"
    assert stage.heard.endswith(BODY)


@pytest.mark.parametrize("dialect", [openai_provider, fireworks_provider])
async def test_a_certificate_of_an_unknown_authority_holds_the_account_and_names_it(
    stage: Stage, dialect: Any
) -> None:
    """A create too: nothing was sent, so nothing needs to be looked for."""
    provider = provider_of(await stage.client(trusted=False), dialect, f"https://{NAME}")
    for call in (provider.get_job("j"), provider.create_job(ORDER, Deadline(60.0, lambda: 0.0))):
        with pytest.raises(CertificateNotTrusted, match="O=Example Works, OU=Private Root") as caught:
            await call
        assert "ORCHESTRATOR_CA_FILE" in caught.value.hint
    assert stage.heard == b""


async def test_certificate_of_another_host_is_named(stage: Stage) -> None:
    provider = provider_of(await stage.client(), openai_provider, f"https://127.0.0.1:{stage.port}")
    with pytest.raises(CertificateNotTrusted, match=r"not valid for '127\.0\.0\.1'") as caught:
        await provider.get_job("j")
    assert "base_url" in caught.value.hint


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("dialect", [openai_provider, fireworks_provider])
async def test_a_proxy_that_refuses_holds_the_account_and_its_password_is_not_shown(
    stage: Stage, dialect: Any, scheme: str
) -> None:
    wrong = stage.proxy_url.replace(PASSWORD, "canary-4f1d")
    http = await stage.client(HTTPS_PROXY=wrong, HTTP_PROXY=wrong)
    with pytest.raises(ProxyRefused, match="407") as caught:
        await provider_of(http, dialect, f"{scheme}://{NAME}").get_job("j")
    assert "canary" not in f"{caught.value.message}{caught.value.hint}"
    assert stage.proxy.refused != []
    with pytest.raises(ProxyRefused):
        await provider_of(http, dialect, f"{scheme}://{NAME}").create_job(ORDER, Deadline(60.0, lambda: 0.0))


async def test_unreachable_proxy_is_named(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    http = await stage.client(HTTPS_PROXY=f"http://127.0.0.1:{port}")
    with pytest.raises(ProviderUnavailable, match=rf"the proxy http://127.0.0.1:{port} \(HTTPS_PROXY\) cannot be"):
        await provider_of(http, openai_provider, f"https://{NAME}").get_job("j")


async def test_unresolvable_host_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    http = await stage.client(HTTPS_PROXY="")
    provider = provider_of(http, openai_provider, "https://nowhere.example")
    for call in (provider.get_job("j"), provider.create_job(ORDER, Deadline(60.0, lambda: 0.0))):
        with pytest.raises(ProviderUnavailable, match=r"the name nowhere\.example cannot be resolved") as caught:
            await call
        assert "DNS" in caught.value.hint
        assert "lost" not in caught.value.message


async def test_port_without_tls_is_named(stage: Stage) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    http = await stage.client()
    async with listen_on_free_port(refuse) as port:
        with pytest.raises(ProviderUnavailable, match="does not use TLS"):
            await provider_of(http, openai_provider, f"https://localhost:{port}").get_job("j")


async def test_http_to_a_public_address_sends_no_key(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name leads is known only when it is connected to."""
    http = await stage.client()
    monkeypatch.setattr(
        "orchestrator.providers.http.plain_peer.ip_address", lambda _: type("Public", (), {"is_global": True})
    )
    with pytest.raises(httpx2.ConnectError, match="public address"):
        await http.get(f"http://127.0.0.1:{stage.plain_port}/v1", {"authorization": "Bearer k"})
    assert stage.heard == b""
