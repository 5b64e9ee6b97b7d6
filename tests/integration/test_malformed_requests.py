"""What a request may hold that no database can look for: it is refused, and takes nothing out of service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx2
import pytest
from api_values import OPERATOR, serve
from structlog.testing import capture_logs

from orchestrator.store.db.database import Database

PAGES = {
    "/accounts/%00": 404,
    "/accounts/a%00b": 404,
    "/datasets/%00": 404,
    "/nowhere/%00": 404,
    "/?label=%00": 400,
    "/?state=%00": 400,
    "/?error=%00": 400,
    "/?q=%00": 400,
    "/?run=%00": 400,
    "/?provider=a%00b": 400,
    "/plan?label=%00": 400,
    "/curves?label=%00": 400,
    "/curves.json?account=%00": 400,
    "/deliveries?state=%00": 400,
    "/confirm?verb=hold&account=%00": 400,
    "/?%00=x": 400,
}
API = (
    "runs/%00", "jobs/%00", "accounts/%00", "datasets/%00", "jobs?text=%00", "jobs?label=%00", "jobs?error=%00",
    "jobs?run=%00", "jobs?after=%00", "models?text=%00", "events?account=%00", "events?job=%00",
    "deliveries?after=3000000000", "events?after=99999999999999999999",
)  # fmt: skip
ODD = {
    "/accounts/%ED%A0%80": 404,  # half of a surrogate pair
    "/accounts/%FF": 404,
    "/?label=%ED%A0%80": 200,
    "/?page=99999999999999999999": 200,
    "/deliveries?page=999999": 200,
}


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    served = await serve(database)
    async with served.client(OPERATOR) as opened:
        yield opened


async def answers(client: httpx2.AsyncClient, path: str) -> tuple[int, int]:
    """The status of the answer, and of /readyz after it."""
    with capture_logs() as said:
        answer = await client.get(path)
        ready = (await client.get("/readyz")).status_code
    assert [line for line in said if line["log_level"] == "error"] == []
    if answer.status_code >= 400:
        assert answer.json()["hint"]
    return answer.status_code, ready


async def test_a_page_is_refused_and_the_service_stays_ready(client: httpx2.AsyncClient) -> None:
    expected = {path: (status, 200) for path, status in (PAGES | ODD).items()}
    assert {path: await answers(client, path) for path in expected} == expected


async def test_the_api_refuses_and_the_service_stays_ready(client: httpx2.AsyncClient) -> None:
    expected = {f"/api/v1/{path}": (422, 200) for path in API}
    assert {path: await answers(client, path) for path in expected} == expected


async def test_a_form_is_refused_and_the_service_stays_ready(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for name in ("account", "label", "reason", "job", "remote_job", "q"):
        verb = "adopt" if name in {"job", "remote_job"} else "hold"
        form = {"verb": verb, "account": "acme", "expect": "1"} | {name: "\0"}
        answer = await client.post("/act", content=urlencode(form), headers=headers)
        assert (name, answer.status_code) == (name, 422)
    assert (await client.get("/readyz")).status_code == 200
