"""What the API answers to those who look, upon both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from api_values import READER, ServedApp, serve
from store_values import DATASET, RUN, a_job, fill, id_of

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database

MODEL = "ft:gpt-4.1-mini:acme"


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    served: ServedApp = await serve(database)
    done = a_job("done", state=JobState.SUCCEEDED, wake_at=None, fine_tuned_model=MODEL, servable=True)
    await fill(database, [done, *(a_job(f"more-{number}") for number in range(5))])
    async with served.client(READER) as client:
        yield client


async def pages(client: httpx2.AsyncClient, path: str, what: str, **query: Any) -> list[dict[str, Any]]:
    """Everything, a page after the other."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = (await client.get(f"/api/v1/{path}", params={**query, "limit": 3, "after": after})).json()
        assert len(page[what]) <= 3
        found, after = found + page[what], page["next"]
    return found


async def test_lists_are_paged_without_duplicates(client: httpx2.AsyncClient) -> None:
    names = ["acme", "done", "globex", *(f"more-{number}" for number in range(5))]
    assert [job["account"] for job in await pages(client, "jobs", "jobs")] == names
    assert [account["name"] for account in await pages(client, "accounts", "accounts")] == names
    assert [model["fine_tuned_model"] for model in await pages(client, "models", "models")] == [MODEL]


@pytest.mark.parametrize(
    ("query", "accounts"),
    [
        ({"state": "failed"}, ["globex"]),
        ({"text": "ORE-3"}, ["more-3"]),
        ({"provider": "azure"}, []),
        ({"held": "false", "state": "succeeded"}, ["done"]),
        ({"run": RUN.id, "label": "eu"}, []),
    ],
)
async def test_list_filters_are_applied(
    client: httpx2.AsyncClient, query: dict[str, str], accounts: list[str]
) -> None:
    answer = (await client.get("/api/v1/jobs", params=query)).json()
    assert ([job["account"] for job in answer["jobs"]], answer["total"]) == (accounts, len(accounts))


async def test_single_resources_are_readable(client: httpx2.AsyncClient) -> None:
    async def get(path: str) -> Any:
        answer = await client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert (await get(f"runs/{RUN.id}")) == (await get("runs/current"))
    assert (await get("runs"))["runs"][0]["total"] == 8
    assert (await get(f"jobs/{id_of('done')}"))["job"]["fine_tuned_model"] == MODEL
    account = await get("accounts/done")
    assert (account["name"], account["jobs"][0]["current"]) == ("done", True)
    dataset = await get(f"datasets/{DATASET.sha256}")
    assert (dataset["examples"], dataset["runs"][0]["run"]["id"]) == (12, RUN.id)
    assert (await get("datasets"))["datasets"] == [dataset]


@pytest.mark.parametrize("path", ["runs/x", "jobs/x", "accounts/x", "datasets/x", "jobs?run=x", "x"])
async def test_unknown_resource_is_a_problem_with_a_hint(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["hint"]


@pytest.mark.parametrize(
    "path", ["jobs?state=x", "jobs?limit=0", "jobs?text=%00", "accounts/%00", "events?after=-1", "events?limit=501"]
)
async def test_invalid_query_is_a_problem_with_a_hint(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["hint"]


async def test_before_the_first_run_lists_are_empty(database: Database) -> None:
    served = ServedApp(database)
    async with served.client() as client:
        jobs = (await client.get("/api/v1/jobs")).json()
        assert (jobs["jobs"], jobs["total"], jobs["next"]) == ([], 0, None)
        assert (await client.get("/api/v1/models")).json()["models"] == []
        assert (await client.get("/api/v1/runs")).json() == {"runs": []}
        assert (await client.get("/api/v1/datasets")).json() == {"datasets": []}
        assert (await client.get("/api/v1/runs/current")).status_code == 404
