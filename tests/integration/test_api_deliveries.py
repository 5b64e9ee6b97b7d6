"""What webhooks and alerts were told, as the API shows it and begins again with it, upon both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from api_values import OPERATOR, READER, ServedApp, list_causes, serve
from sqlalchemy import insert
from store_values import NOW

from orchestrator.store.db.database import Database
from orchestrator.store.schema.tables import deliveries

WAITING: dict[str, Any] = {"due_at": NOW + 60, "attempts": 1, "error": "503: try later"}
ARRIVED: dict[str, Any] = {"delivered_at": NOW + 1, "attempts": 1}
DEAD: dict[str, Any] = {"attempts": 8, "error": "404: gone"}


def row(number: int, **fate: Any) -> dict[str, Any]:
    payload = {"type": "model.ready", "data": {"account": "acme", "run": "run-1"}}
    return {
        "id": number,
        "message": f"msg_{number}",
        "target": "https://example.com/hook",
        "topic": "model.ready",
        "payload": payload,
        "created_at": NOW,
        "due_at": None,
        "delivered_at": None,
        "error": None,
    } | fate


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    served: ServedApp = await serve(database)
    rows = [row(1, **DEAD), row(2, **ARRIVED), row(3, **WAITING), row(4, **DEAD), row(5, **ARRIVED)]
    await database.write(lambda tx: tx.connection.execute(insert(deliveries), rows))
    async with served.client(OPERATOR) as client:
        yield client


async def list_delivery_ids(client: httpx2.AsyncClient, **query: Any) -> list[int]:
    """Those of every page, two a page."""
    found: list[int] = []
    after: dict[str, int] | None = {}
    while after is not None:
        page = (await client.get("/api/v1/deliveries", params={**query, "limit": 2, **after})).json()
        assert page["counts"] == {"dead": 2, "waiting": 1, "arrived": 2}
        found += [delivery["id"] for delivery in page["deliveries"]]
        after = {"after": page["next"]} if page["next"] else None
    return found


async def test_deliveries_are_paged_newest_first(client: httpx2.AsyncClient) -> None:
    assert await list_delivery_ids(client) == [5, 4, 3, 2, 1]
    assert await list_delivery_ids(client, state="dead") == [4, 1]
    assert await list_delivery_ids(client, state="waiting") == [3]
    assert await list_delivery_ids(client, state="arrived") == [5, 2]
    [waiting] = (await client.get("/api/v1/deliveries", params={"state": "waiting"})).json()["deliveries"]
    assert (waiting["state"], waiting["event"], waiting["error"]) == ("waiting", "model.ready", "503: try later")
    assert (waiting["due_at"], waiting["delivered_at"]) == ("1970-01-12T13:47:40+00:00", None)


async def test_dead_deliveries_are_redelivered_and_recorded(client: httpx2.AsyncClient, database: Database) -> None:
    answer = await client.post("/api/v1/actions/redeliver", json={"deliveries": [4], "expect": 1})
    assert (answer.status_code, answer.json()) == (200, {"deliveries": [4], "count": 1})
    answer = await client.post("/api/v1/actions/redeliver", json={"all": True})
    assert answer.json() == {"deliveries": [1], "count": 1}
    assert [(cause, note) for cause, note, _ in await list_causes(database)][-2:] == [
        ("token:ops", "delivery begun again")
    ] * 2
    left = (await client.get("/api/v1/deliveries")).json()
    assert left["counts"] == {"dead": 0, "waiting": 3, "arrived": 2}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"all": True, "expect": 3}, 409, "The selection now matches 2 deliveries, expected 3."),
        ({"deliveries": [1, 2]}, 409, "no failed delivery has the id 2"),
        ({}, 422, "No deliveries are selected."),
        ({"deliveries": [0]}, 422, ""),
        ({"deliveries": "all"}, 422, ""),
    ],
)
async def test_invalid_redelivery_changes_nothing(
    client: httpx2.AsyncClient, body: Any, status: int, said: str
) -> None:
    answer = await client.post("/api/v1/actions/redeliver", json=body)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True)
    assert (await client.get("/api/v1/deliveries")).json()["counts"]["dead"] == 2


async def test_reader_cannot_redeliver(client: httpx2.AsyncClient) -> None:
    reader = {"Authorization": f"Bearer {READER}"}
    assert (await client.get("/api/v1/deliveries", headers=reader)).status_code == 200
    assert (await client.post("/api/v1/actions/redeliver", json={"all": True}, headers=reader)).status_code == 403
