from __future__ import annotations

import httpx2
import pytest
from fastapi import Request
from web_values import NOW, WebServiceDouble, ready, token

from orchestrator.web.auth import login_throttle as module
from orchestrator.web.auth.login_throttle import (
    MAX_FAILURES_IN_TOTAL,
    MAX_FAILURES_PER_ADDRESS,
    MAX_TRACKED_ADDRESSES,
    LoginThrottle,
    client_address,
)

ENVIRONMENT_TOKEN = "the-token-of-the-settings"
CREATED_TOKEN = "orch_made"


def service() -> WebServiceDouble:
    service = WebServiceDouble(ready("acme"), token=ENVIRONMENT_TOKEN)
    assert isinstance(service.tokens, list)
    service.tokens.append(token("ci", CREATED_TOKEN))
    return service


async def ask(client: httpx2.AsyncClient, text: str) -> httpx2.Response:
    return await client.get("/status", headers={"Authorization": f"Bearer {text}"})


async def test_repeated_wrong_tokens_are_throttled() -> None:
    served = service()
    async with served.client() as client:
        assert [(await ask(client, f"wrong-{number}")).status_code for number in range(MAX_FAILURES_PER_ADDRESS)] == [
            401
        ] * MAX_FAILURES_PER_ADDRESS
        refused = await ask(client, "wrong")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "6")
        assert refused.headers["content-type"] == "application/problem+json"
        assert "6 s" in refused.json()["hint"]
        assert (await ask(client, ENVIRONMENT_TOKEN)).status_code == 429, "the right one is no news either"
        assert (await client.post("/login", data={"token": "wrong"})).status_code == 429
        served.now += 6
        assert (await ask(client, ENVIRONMENT_TOKEN)).status_code == 200
        assert (await ask(client, "wrong")).status_code == 401
        assert (await ask(client, "wrong")).status_code == 429


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_clock_change_does_not_affect_the_throttle(step: float) -> None:
    served = service()
    async with served.client() as client:
        for number in range(MAX_FAILURES_PER_ADDRESS + 1):
            refused = await ask(client, f"wrong-{number}")
        served.set_by = step
        assert (await ask(client, ENVIRONMENT_TOKEN)).headers["retry-after"] == refused.headers["retry-after"] == "6"
        served.now += 6
        assert (await ask(client, ENVIRONMENT_TOKEN)).status_code == 200


async def test_login_attempts_are_throttled() -> None:
    async with service().client() as client:
        codes = [
            (await client.post("/login", data={"token": "wrong"})).status_code
            for _ in range(MAX_FAILURES_PER_ADDRESS + 1)
        ]
    assert codes == [401] * MAX_FAILURES_PER_ADDRESS + [429]


async def test_session_or_created_token_is_never_throttled() -> None:
    served = service()
    async with served.client() as client:
        await client.post("/login", data={"token": ENVIRONMENT_TOKEN})
        for number in range(MAX_FAILURES_PER_ADDRESS + 5):
            await ask(client, f"wrong-{number}")
        assert (await ask(client, CREATED_TOKEN)).status_code == 200
        assert (await client.get("/status")).status_code == 200


async def test_requests_without_a_token_are_not_counted() -> None:
    async with service().client() as client:
        for _ in range(MAX_FAILURES_PER_ADDRESS + 5):
            await client.get("/status")
            await client.get("/status", headers={"Cookie": "orchestrator_session=1.a.b"})
        assert (await ask(client, ENVIRONMENT_TOKEN)).status_code == 200


def test_addresses_are_throttled_separately() -> None:
    attempts = LoginThrottle()
    for _ in range(MAX_FAILURES_PER_ADDRESS):
        attempts.record_failure("10.0.0.1", NOW)
    assert attempts.wait_seconds("10.0.0.1", NOW) == 6
    assert attempts.wait_seconds("10.0.0.2", NOW) == 0
    assert attempts.wait_seconds("10.0.0.1", NOW + 60) == 0


def test_many_addresses_share_a_global_throttle() -> None:
    attempts = LoginThrottle()
    for number in range(MAX_FAILURES_IN_TOTAL):
        attempts.record_failure(f"10.0.0.{number}", NOW)
    assert attempts.wait_seconds("10.1.0.1", NOW) == 1
    assert attempts.wait_seconds("10.1.0.1", NOW + 1) == 0


def test_throttle_memory_is_bounded() -> None:
    attempts = LoginThrottle()
    for number in range(3 * MAX_TRACKED_ADDRESSES):
        attempts.record_failure(str(number), NOW - number)
    assert len(attempts._by_address) == MAX_TRACKED_ADDRESSES
    assert attempts.wait_seconds("new", NOW - 3 * MAX_TRACKED_ADDRESSES) > 0


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_a_network_of_ipv6_is_one_address(host: str, address: str) -> None:
    assert client_address(Request({"type": "http", "client": (host, 1)})) == address
    assert module.client_address(Request({"type": "http", "client": None})) == ""
