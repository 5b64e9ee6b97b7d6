"""A provider that takes one key at a time, and a key that is replaced while it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from orchestrator.app.connections import Connections, FindIdentity, find_no_identity
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.errors import AuthenticationFailed, TemporaryError, WrongOrganization
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import Deadline, JobOrder, ProviderConnection
from orchestrator.providers.http.client import HttpClient

OLD, NEW = "sk-old-0123456789", "sk-new-9876543210"
ORDER = JobOrder(
    tag="job.0", spec=TrainingSpec(base_model="m", n_epochs=1), training_file="file-1", validation_file=None
)


class OneKeyProvider:
    """Accepts one key. Counts what was asked with which key."""

    def __init__(self) -> None:
        self.accepted = NEW
        self.organizations = {OLD: "org-a", NEW: "org-a"}
        self.calls: list[tuple[str, str]] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.calls.append((f"{request.method} {request.url.path.removeprefix('/v1')}", key))
        if key != self.accepted:
            return httpx2.Response(401, json={"error": {"message": f"bad key {key}", "code": "invalid_api_key"}})
        if request.url.path.endswith("/models"):
            headers = {"openai-organization": self.organizations[key]}
            return httpx2.Response(200, json={"data": []}, headers=headers)
        job = {"id": "ftjob-1", "object": "fine_tuning.job", "status": "queued", "model": "m"}
        return httpx2.Response(200, json={**job, "training_file": "file-1", "created_at": 1, "hyperparameters": {}})

    def count(self, call: str, key: str) -> int:
        return self.calls.count((call, key))


@asynccontextmanager
async def connected(
    folder: Path,
    server: OneKeyProvider,
    *,
    reference: str = "file:key",
    organization: str | None = None,
    find_identity: FindIdentity = find_no_identity,
    redact: Redactor | None = None,
) -> AsyncIterator[tuple[Connections, ProviderConnection]]:
    redact = redact or Redactor()
    connections = Connections(
        folder,
        OutboundNetwork({}, None, redact),
        max_in_flight=9,
        redact=redact,
        clock=lambda: 0.0,
        find_identity=find_identity,
    )
    async with HttpClient(httpx2.MockTransport(server.answer)) as http:
        connections._http = http
        account = Account(name="acme", provider=ProviderName.OPENAI, api_key=reference, organization=organization)
        connections.connect_accounts([account], {"acme": Secret(OLD)})
        yield connections, connections.by_name["acme"]


def lasting_deadline(seconds: float) -> Deadline:
    return Deadline(seconds, lambda: 0.0)


async def read(connection: ProviderConnection) -> object:
    return await connection.provider.get_job("ftjob-1")


async def create(connection: ProviderConnection) -> object:
    return await connection.provider.create_job(ORDER, lasting_deadline(30))


@pytest.mark.parametrize("call", [read, create])
async def test_a_refused_key_is_read_again_and_the_call_is_made_once_more(
    tmp_path: Path, call: Callable[[ProviderConnection], object]
) -> None:
    server, redact = OneKeyProvider(), Redactor()
    (tmp_path / "key").write_text(NEW)
    async with connected(tmp_path, server, redact=redact) as (connections, connection):
        await call(connection)  # type: ignore[misc]
        await call(connection)  # type: ignore[misc]
        assert connections.by_name["acme"].key_fingerprint == Secret(NEW).fingerprint
    asked = server.calls[0][0]
    assert (server.count(asked, OLD), server.count(asked, NEW)) == (1, 2)
    assert server.count("GET /models", NEW) == 1, "whose key it is comes first"
    assert NEW not in redact(f"the key {NEW}")


async def test_the_output_of_a_command_is_a_key_that_can_be_renewed(tmp_path: Path) -> None:
    server = OneKeyProvider()
    async with connected(tmp_path, server, reference=f"cmd:printf {NEW}") as (_, connection):
        await create(connection)
    assert server.count("POST /fine_tuning/jobs", NEW) == 1


async def test_unchanged_refused_key_is_tried_once(tmp_path: Path) -> None:
    server = OneKeyProvider()
    (tmp_path / "key").write_text(OLD)
    async with connected(tmp_path, server) as (_, connection):
        with pytest.raises(AuthenticationFailed):
            await create(connection)
    assert server.calls == [("POST /fine_tuning/jobs", OLD)]


async def test_a_new_key_that_is_refused_too_is_not_tried_again(tmp_path: Path) -> None:
    server = OneKeyProvider()
    server.accepted = "sk-another-0123456"
    (tmp_path / "key").write_text(NEW)
    async with connected(tmp_path, server) as (_, connection):
        with pytest.raises(AuthenticationFailed):
            await create(connection)
    assert server.calls == [("POST /fine_tuning/jobs", OLD), ("GET /models", NEW)]


async def test_concurrent_refused_calls_read_the_key_once(tmp_path: Path) -> None:
    server = OneKeyProvider()
    counting = tmp_path / "count.sh"
    counting.write_text(f"#!/bin/sh\necho x >> {tmp_path}/read\nsleep 0.2\nprintf {NEW}\n")
    counting.chmod(0o700)
    async with connected(tmp_path, server, reference=f"cmd:{counting}") as (_, connection):
        await asyncio.gather(*(read(connection) for _ in range(20)))
    assert (tmp_path / "read").read_text() == "x\n"
    assert server.count("GET /fine_tuning/jobs/ftjob-1", NEW) == 20


@pytest.mark.parametrize("known_by", ["accounts file", "verification"])
async def test_a_key_of_another_organisation_creates_nothing(tmp_path: Path, known_by: str) -> None:
    server = OneKeyProvider()
    server.organizations[NEW] = "org-b"
    (tmp_path / "key").write_text(NEW)

    async def find_identity(account: str) -> AccountIdentity:
        return AccountIdentity("org-a")

    options = {"organization": "org-a"} if known_by == "accounts file" else {"find_identity": find_identity}
    async with connected(tmp_path, server, **options) as (connections, connection):
        with pytest.raises(WrongOrganization, match="org-b, not to org-a"):
            await create(connection)
        assert connections.by_name["acme"].key_fingerprint == Secret(OLD).fingerprint
    assert server.count("POST /fine_tuning/jobs", NEW) == 0


@pytest.mark.parametrize("is_corrected", [False, True])
async def test_account_is_not_verified_with_a_key_of_another_organisation(
    tmp_path: Path, *, is_corrected: bool
) -> None:
    """The key is read again: it may have been corrected since the connection was made."""
    server = OneKeyProvider()
    server.accepted = OLD
    server.organizations[OLD] = "org-b"
    (tmp_path / "key").write_text(NEW if is_corrected else OLD)

    async def find_identity(account: str) -> AccountIdentity:
        server.accepted = NEW if is_corrected else OLD
        return AccountIdentity("org-a")

    async with connected(tmp_path, server, find_identity=find_identity) as (connections, connection):
        if is_corrected:
            current, identity = await connections.identify(connection)
            assert (current.key_fingerprint, identity.organization) == (Secret(NEW).fingerprint, "org-a")
        else:
            with pytest.raises(WrongOrganization, match="org-b, not to org-a"):
                await connections.identify(connection)


async def test_create_with_an_expired_intent_is_not_repeated(tmp_path: Path) -> None:
    server, boottime = OneKeyProvider(), [0.0]
    (tmp_path / "key").write_text(NEW)
    async with connected(tmp_path, server) as (_, connection):

        async def spend_time(account: str) -> None:
            boottime[0] = 29.5

        async with connected(tmp_path, server, find_identity=spend_time) as (_, connection):
            with pytest.raises(TemporaryError, match="deadline of this attempt"):
                await connection.provider.create_job(ORDER, Deadline(30.0, lambda: boottime[0]))
            assert server.count("POST /fine_tuning/jobs", NEW) == 0
            await create(connection)
    assert server.count("POST /fine_tuning/jobs", NEW) == 1
