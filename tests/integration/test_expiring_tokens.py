"""Tokens that die after some calls: a command prints the next one, and a whole job is trained with many of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import httpx2
import pytest
from fake_dashscope import create_dashscope
from fake_openai_dialects import MantleTranslator
from starlette.types import ASGIApp

from orchestrator.app.connections import Connections
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import AuthenticationFailed, TemporaryError, TrainingNotAllowed
from orchestrator.core.remote import RemoteFileStatus, RemoteJobStatus
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder, Provider, ProviderConnection
from orchestrator.providers.http.client import HttpClient
from orchestrator.sandbox import SandboxSettings, create_app

TAG = "0123456789abcdef.0"
CALLS_PER_TOKEN = 4  # as many as the longest operation needs: the new key's verification and two lists
LINES = b'{"messages":[{"role":"user","content":"Late?"},{"role":"assistant","content":"Yes."}]}\n' * 12


class ExpiringTokens(httpx2.ASGITransport):
    """Lets each token `NUMBER-token` pass for some calls, and then refuses it as this provider does."""

    def __init__(self, app: ASGIApp, status: int, refusal: dict[str, str]) -> None:
        super().__init__(app)
        self.calls: Counter[str] = Counter()
        self.refused = 0
        self._status, self._refusal = status, refusal

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.calls[token] += 1
        if self.calls[token] > CALLS_PER_TOKEN:
            self.refused += 1
            return httpx2.Response(self._status, json=self._refusal)
        request.headers["authorization"] = "Bearer sandbox-acme"
        return await super().handle_async_request(request)


class Service:
    """A provider whose time is `now`, and one account whose key is a command."""

    names: ClassVar[dict[ProviderName, str]] = {
        ProviderName.DASHSCOPE: "qwen3-14b",
        ProviderName.BEDROCK_MANTLE: "openai.gpt-oss-20b",
    }

    def __init__(self, provider: ProviderName, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.name, self.model, self.folder = provider, self.names[provider], folder
        self.redact = Redactor()
        self.jobs: Callable[[], int]
        if provider is ProviderName.DASHSCOPE:
            app, world = create_dashscope(lambda: self.now, training_seconds=60)
            self.jobs = lambda: len(world.account("acme").jobs)
            self.base_url = "http://localhost/api/v1"
            self.transport = ExpiringTokens(
                app, 401, {"code": "InvalidApiKey", "message": "Invalid API-key provided."}
            )
        else:
            sandbox = create_app(SandboxSettings(file_seconds=0, training_seconds=60), clock=lambda: self.now)
            self.jobs = lambda: len(sandbox.state.sandbox.jobs.of("acme"))
            self.base_url = "http://localhost/v1"
            expired = {"message": "The security token included in the request is expired"}
            self.transport = ExpiringTokens(MantleTranslator(sandbox), 403, expired)
        self.command = folder / "token.sh"
        self.write_command("n=$(($(cat count) + 1)); echo $n > count; printf '%08d-token' $n")
        (folder / "count").write_text("0\n")

    def write_command(self, line: str) -> None:
        self.command.write_text(f"#!/bin/sh\n{line}\n")
        self.command.chmod(0o700)

    @property
    def tokens(self) -> int:
        return int((self.folder / "count").read_text())

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ProviderConnection]:
        connections = Connections(
            self.folder,
            OutboundNetwork({}, None, self.redact),
            max_in_flight=9,
            redact=self.redact,
            clock=lambda: self.now,
        )
        async with HttpClient(self.transport) as http:
            connections._http = http
            account = Account(name="acme", provider=self.name, api_key=f"cmd:{self.command}", base_url=self.base_url)
            connections.connect_accounts([account], {"acme": Secret("00000000-token")})
            yield connections.by_name["acme"]

    def write_file(self) -> DatasetFile:
        path = self.folder / "chats.jsonl"
        path.write_bytes(LINES)
        name, digest = f"orchestrator-0123-{TAG.replace('.', '-')}.jsonl", sha256(LINES).hexdigest()
        return DatasetFile(path=path, filename=name, bytes=len(LINES), sha256=digest, examples=12)

    async def train(self, provider: Provider) -> None:
        """What the service does with a job, as one call after another."""
        file, deadline = self.write_file(), Deadline(60.0, lambda: 0.0)
        assert await provider.find_file(file) is None
        sent = await provider.upload_file(file, deadline)
        assert (await provider.get_file(sent.id)).status is RemoteFileStatus.READY
        spec = TrainingSpec(base_model=self.model, n_epochs=2)
        order = JobOrder(tag=TAG, spec=spec, training_file=sent.id, validation_file=None)
        assert await provider.find_jobs(order) == []
        job = await provider.create_job(order, deadline)
        assert [found.id for found in await provider.find_jobs(order)] == [job.id]
        while job.status is not RemoteJobStatus.SUCCEEDED:
            self.now += 5
            job = await provider.get_job(job.id)
        await provider.delete_file(sent.id)


@pytest.fixture(params=Service.names)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    return Service(request.param, tmp_path)


async def test_a_job_is_trained_with_tokens_that_die_after_some_calls(service: Service) -> None:
    async with service.connect() as connection:
        await service.train(connection.provider)
    assert service.jobs() == 1
    assert service.transport.refused == service.tokens >= 5, "each token was replaced once"
    assert "00000003-token" not in service.redact("the key 00000003-token")


async def test_concurrent_calls_with_a_dead_token_share_the_next_one(service: Service) -> None:
    async with service.connect() as connection:
        file = await connection.provider.upload_file(service.write_file(), Deadline(60.0, lambda: 0.0))
        service.transport.calls["00000000-token"] = CALLS_PER_TOKEN
        await asyncio.gather(*(connection.provider.get_file(file.id) for _ in range(3)))
    assert service.tokens == 1


async def test_command_that_fails_once_does_not_hold_the_account(service: Service) -> None:
    """Every one of several refused calls is tried again later, and not only the one that ran the command."""
    service.transport.calls["00000000-token"] = CALLS_PER_TOKEN
    working = service.command.read_text().splitlines()[1]
    service.write_command("exit 3")
    async with service.connect() as connection:
        calls = (connection.provider.find_file(service.write_file()) for _ in range(3))
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [TemporaryError] * 3
        assert "a new one cannot be read" in str(errors[0])
        assert "exit code 3" in str(errors[0])
        service.write_command(working)
        assert await connection.provider.find_file(service.write_file()) is None


async def test_token_that_stays_refused_is_reported(service: Service) -> None:
    service.transport.calls["00000000-token"] = CALLS_PER_TOKEN
    service.write_command("printf 00000000-token")
    async with service.connect() as connection:
        refused = AuthenticationFailed if service.name is ProviderName.DASHSCOPE else TrainingNotAllowed
        with pytest.raises(refused):
            await connection.provider.find_file(service.write_file())
    assert service.transport.refused == 1


async def test_redactor_forgets_tokens_that_expired_a_day_ago(service: Service) -> None:
    async with service.connect() as connection:
        await service.train(connection.provider)
        first, last = "00000001-token", f"{service.tokens:08d}-token"
        assert first not in service.redact(first), "they expired a minute ago"
        service.now += 90_000
        service.transport.calls[last] = CALLS_PER_TOKEN
        await connection.provider.find_file(service.write_file())
        assert service.redact(f"{first} {last}").startswith(f"{first} [key "), "a day ago, and just now"
        newest = f"{service.tokens:08d}-token"
        assert newest not in service.redact(newest)
