"""The token of the resource manager: read when it is needed, renewed when it is refused, and shown nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx2
import pytest

from orchestrator.app.connections import EXPIRED_KEY_REDACTION_SECONDS, Connections
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.control.accounts import ListedAccount
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import AuthenticationFailed, TemporaryError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.inputs.accounts_file.loader import parse_accounts_file
from orchestrator.providers.base import DeploymentProvider
from orchestrator.providers.http.client import HttpClient

KEY, OLD, NEW = "sk-canary-0123456789", "arm-old-0123456789", "arm-new-9876543210"
ACCOUNT = Account(
    name="acme",
    provider=ProviderName.AZURE,
    api_key="env:KEY",
    base_url="https://res.example/openai/v1",
    management_key="file:token",
    subscription_id="00000000-0000-4000-8000-000000000001",
    resource_group="rg",
    resource="res",
)


class ManagementServer:
    """Accepts one token, and repeats it in its answers, as an honest server would not."""

    def __init__(self) -> None:
        self.accepted = NEW
        self.tokens: list[str] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        if token != self.accepted:
            error = {"code": "ExpiredAuthenticationToken", "message": f"bad token {token}"}
            return httpx2.Response(401, json={"error": error})
        properties = {"model": {"name": "m"}, "provisioningState": token}
        tags = {"orchestrator-tag": f"0123456789abcdef.0 {token}"}
        return httpx2.Response(200, json={"value": [{"name": "d", "properties": properties, "tags": tags}]})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def connected(
    folder: Path, server: ManagementServer, *, account: Account = ACCOUNT, clock: Clock | None = None
) -> AsyncIterator[tuple[DeploymentProvider, Redactor]]:
    redact = Redactor()
    network = OutboundNetwork({}, None, redact)
    connections = Connections(folder, network, max_in_flight=9, redact=redact, clock=clock or Clock())
    async with HttpClient(httpx2.MockTransport(server.answer)) as http:
        connections._http = http
        connections.connect_accounts([account], {"acme": Secret(KEY)})
        yield cast(DeploymentProvider, connections.by_name["acme"].provider), redact


async def test_token_is_read_when_it_is_needed_and_again_when_it_is_refused(tmp_path: Path) -> None:
    server = ManagementServer()
    async with connected(tmp_path, server) as (provider, redact):
        (tmp_path / "token").write_text(OLD)
        server.accepted = OLD
        await provider.list_own_deployments()
        (tmp_path / "token").write_text(NEW)
        await provider.list_own_deployments()
        assert server.tokens == [OLD, OLD]
        server.accepted = NEW
        listed = await provider.list_own_deployments()
        assert server.tokens[2:] == [OLD, NEW]
        assert NEW not in repr(listed)
        assert "[key " in repr(listed)
        for token in (OLD, NEW):
            assert token not in redact(f"the token {token}")


async def test_refused_token_holds_the_account_without_being_shown(tmp_path: Path) -> None:
    server = ManagementServer()
    (tmp_path / "token").write_text(OLD)
    async with connected(tmp_path, server) as (provider, _):
        with pytest.raises(AuthenticationFailed) as caught:
            await provider.list_own_deployments()
    assert server.tokens == [OLD]
    assert OLD not in f"{caught.value.message} {caught.value.hint}"
    assert KEY not in server.tokens


@pytest.mark.parametrize("reference", ["file:missing", "env:NO_SUCH_VARIABLE_AT_ALL", "cmd:false"])
async def test_token_that_cannot_be_read_is_tried_again_later(tmp_path: Path, reference: str) -> None:
    server = ManagementServer()
    account = replace(ACCOUNT, management_key=reference)
    async with connected(tmp_path, server, account=account) as (provider, _):
        with pytest.raises(TemporaryError) as caught:
            await provider.list_own_deployments()
    assert caught.value.account == "acme"
    assert "management_key" in caught.value.hint
    assert server.tokens == []


async def test_concurrent_refused_calls_start_the_command_once(tmp_path: Path) -> None:
    server, clock = ManagementServer(), Clock()
    command = tmp_path / "token.sh"
    command.write_text(f"#!/bin/sh\necho x >> {tmp_path}/read\nsleep 0.2\ncat {tmp_path}/value\n")
    command.chmod(0o700)
    (tmp_path / "value").write_text(OLD)
    server.accepted = OLD
    account = replace(ACCOUNT, management_key=f"cmd:{command}")
    async with connected(tmp_path, server, account=account, clock=clock) as (provider, redact):
        await asyncio.gather(*(provider.list_own_deployments() for _ in range(5)))
        (tmp_path / "value").write_text(NEW)
        server.accepted = NEW
        await asyncio.gather(*(provider.list_own_deployments() for _ in range(5)))
        assert (tmp_path / "read").read_text().count("x") == 2
        assert OLD not in redact(OLD)
        clock.now += EXPIRED_KEY_REDACTION_SECONDS + 1
        (tmp_path / "value").write_text(f"{NEW}-2")
        server.accepted = f"{NEW}-2"
        await provider.list_own_deployments()
        assert redact(f"a token {OLD}") == f"a token {OLD}"  # it has long expired


def test_other_commands_do_not_get_the_variable_of_a_management_key(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    text = f"""
[run]
name = "r"
dataset = "chats"
[run.azure]
base_model = "m"
[[accounts]]
name = "acme"
provider = "azure"
api_key = "cmd:az key"
base_url = "https://res.example/openai/v1"
management_key = "env:ARM_TOKEN"
subscription_id = "{ACCOUNT.subscription_id}"
resource_group = "rg"
resource = "res"
"""
    file = parse_accounts_file(tmp_path / "accounts.toml", text)
    assert file.key_variables == {"ARM_TOKEN"}
    assert file.accounts[0].resource == "res"


def test_changed_place_of_the_deployments_changes_the_definition_of_the_account() -> None:
    before = ListedAccount(ACCOUNT, "12345678").definition
    changes = {
        "management_key": "env:OTHER",
        "subscription_id": "00000000-0000-4000-8000-000000000002",
        "resource_group": "other",
        "resource": "other",
        "management_url": "https://management.example",
        "management_api_version": "2025-07-01-preview",
    }
    for option, value in changes.items():
        changed = replace(ACCOUNT, **{option: value})  # type: ignore[arg-type]
        assert ListedAccount(changed, "12345678").definition != before, option
