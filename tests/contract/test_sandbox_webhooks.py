"""What the sandbox sends is what the SDK takes for OpenAI's."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from machine_speed import scale_seconds
from sandboxes import MODEL, serving, training_file

from orchestrator.sandbox import NotLoopback, SandboxSettings, serve

SECRET = "whsec_" + b64encode(b"sandbox-webhook-acme").decode()
QUICK = SandboxSettings(file_seconds=0, validating_seconds=0, queue_seconds=0, training_seconds=0.2)


class WebhookListener:
    """Requests that came to a port of this machine."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def handle_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((head[0].split()[1], headers, body))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def wait_for_requests(self, count: int) -> None:
        async with asyncio.timeout(scale_seconds(60)):
            while len(self.requests) < count:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.02)

    def events(self) -> list[Any]:
        """Each as the SDK reads it; raises for one that is not genuine."""
        with openai.OpenAI(api_key="unused") as client:
            return [client.webhooks.unwrap(body, headers, secret=SECRET) for _, headers, body in self.requests]


@asynccontextmanager
async def sandbox_with_listener(*faults: dict[str, Any]) -> AsyncIterator[tuple[httpx2.AsyncClient, WebhookListener]]:
    """A sandbox that sends its webhooks here."""
    heard = WebhookListener()
    server = await asyncio.start_server(heard.handle_request, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(QUICK) as base, httpx2.AsyncClient(base_url=base) as client:
        client.headers["authorization"] = "Bearer sandbox-acme"
        address = {"url": f"http://127.0.0.1:{port}/hooks/{{account}}"}
        assert (await client.put("/sandbox/webhooks", json=address)).json() == address
        assert (await client.put("/sandbox/faults", json={"faults": faults})).status_code == 200
        yield client, heard


async def start(client: httpx2.AsyncClient) -> str:
    sent = await client.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("a.jsonl", training_file())})
    order = {"model": MODEL, "training_file": sent.json()["id"]}
    return str((await client.post("/v1/fine_tuning/jobs", json=order)).json()["id"])


async def test_openai_sdk_accepts_the_webhook() -> None:
    async with sandbox_with_listener() as (client, heard):
        job = await start(client)
        await heard.wait_for_requests(1)
        [event] = heard.events()
        assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", job)
        assert [path for path, *_ in heard.requests] == ["/hooks/acme"]
        async with asyncio.timeout(scale_seconds(60)):
            while "webhooks.send" not in (await client.get("/sandbox/state")).json()["requests"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (await client.get("/sandbox/state")).json()["requests"]["webhooks.send"] == {"204": 1}


async def test_cancelled_job_sends_a_webhook() -> None:
    async with sandbox_with_listener() as (client, heard):
        job = await start(client)
        await client.post(f"/v1/fine_tuning/jobs/{job}/cancel")
        await heard.wait_for_requests(1)
        assert heard.events()[0].type in {"fine_tuning.job.cancelled", "fine_tuning.job.succeeded"}


async def test_webhook_may_be_repeated_late_or_dropped() -> None:
    slow = {"kind": "slow", "seconds": 0.3, "operations": ["webhooks.send"], "accounts": ["acme"]}
    never = {"kind": "drop", "operations": ["webhooks.send"], "accounts": ["silent"]}
    async with sandbox_with_listener({"kind": "twice"}, slow, never) as (client, heard):
        client.headers["authorization"] = "Bearer sandbox-silent"
        await start(client)
        client.headers["authorization"] = "Bearer sandbox-acme"
        await start(client)
        await heard.wait_for_requests(2)
        assert len({headers["webhook-id"] for _, headers, _ in heard.requests}) == 1
        assert {path for path, *_ in heard.requests} == {"/hooks/acme"}


async def test_webhook_may_be_forged() -> None:
    async with sandbox_with_listener({"kind": "forged"}) as (client, heard):
        await start(client)
        await heard.wait_for_requests(1)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            heard.events()


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://127.0.0.1/", "127.0.0.1:80", "http://127.0.0.1.nip.io/"]
)
async def test_nothing_is_sent_to_other_machines(url: str) -> None:
    async with sandbox_with_listener() as (client, _):
        answer = await client.put("/sandbox/webhooks", content=json.dumps({"url": url}))
        assert answer.status_code == 400
        assert (await client.put("/sandbox/webhooks", json={"url": None})).json() == {"url": None}
    with pytest.raises(NotLoopback):
        await serve(settings=SandboxSettings(webhooks=url))
