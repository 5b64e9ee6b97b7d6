from __future__ import annotations

import re

import httpx2
import pytest
from web_values import WebServiceDouble, job, token

TOKEN = "orch_operator"
HOLD = {"accounts": ["acme"]}
PATH = "/api/v1/actions/hold"
ORIGIN = "http://127.0.0.1:8080"


def service() -> WebServiceDouble:
    service = WebServiceDouble(job("acme", "running"))
    service.tokens = [token("ops", TOKEN)]
    return service


async def csrf_token(client: httpx2.AsyncClient) -> str:
    """What the page hands to htmx."""
    page = (await client.get("/")).text
    return str(re.findall(r'hx-headers:inherited=\'\{"X-CSRF-Token": "([0-9a-f]{64})"\}\'', page)[0])


async def test_session_needs_its_own_csrf_token() -> None:
    web_service = service()
    async with web_service.client() as one, web_service.client() as other:
        for client in (one, other):
            await client.post("/login", data={"token": TOKEN})
        own, foreign = await csrf_token(one), await csrf_token(other)
        for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": foreign}, {"X-CSRF-Token": own[:-1]}):
            refused = await one.post(PATH, json=HOLD, headers=wrong)
            assert (refused.status_code, bool(refused.json()["hint"])) == (403, True)
        assert web_service.calls == []
        assert (await one.post(PATH, json=HOLD, headers={"X-CSRF-Token": own})).status_code == 200
        assert len(web_service.calls) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9090"},
        {"Origin": "null"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("locked", [True, False])
async def test_cross_site_request_changes_nothing(headers: dict[str, str], locked: bool) -> None:
    web_service = service()
    web_service.tokens = web_service.tokens if locked else []
    async with web_service.client() as client:
        if locked:
            await client.post("/login", data={"token": TOKEN})
        right = headers | {"X-CSRF-Token": await csrf_token(client)}
        assert (await client.post(PATH, json=HOLD, headers=right)).status_code == 403
        assert (await client.post("/login", data={"token": TOKEN}, headers=headers)).status_code == 403
    assert web_service.calls == []


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": ORIGIN}])
async def test_loopback_page_needs_a_csrf_token_and_a_program_does_not(headers: dict[str, str]) -> None:
    web_service = service()
    web_service.tokens = []
    async with web_service.client() as client:
        assert (await client.post(PATH, json=HOLD, headers=headers)).status_code == 403
        with_token = headers | {"X-CSRF-Token": await csrf_token(client)}
        assert (await client.post(PATH, json=HOLD, headers=with_token)).status_code == 200
        assert (await client.post(PATH, json=HOLD)).status_code == 200
    assert [options["actor"] for *_, options in web_service.calls] == ["loopback"] * 2


async def test_bearer_token_needs_no_csrf_token() -> None:
    web_service = service()
    async with web_service.client(Authorization=f"Bearer {TOKEN}") as client:
        assert (await client.post(PATH, json=HOLD, headers={"Origin": ORIGIN})).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_request_is_refused(declared: bool) -> None:
    async def parts() -> object:
        for _ in range(20):
            yield b"x" * 100_000

    web_service = service()
    async with web_service.client(Authorization=f"Bearer {TOKEN}") as client:
        content = b"x" * 2_000_000 if declared else parts()
        answer = await client.post(PATH, content=content)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
