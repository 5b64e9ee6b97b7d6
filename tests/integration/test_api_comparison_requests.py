"""Requests for comparisons over the API: the price that is confirmed, what is refused and why, roles, the record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest
from api_values import OPERATOR, READER, ServedApp, list_causes, serve
from store_values import NOW, RUN

from orchestrator.control.comparisons import LeftOutModel, PlannedComparison
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.errors import ConfigError, DatasetChanged
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records

PATH = "/api/v1/comparisons"


def plan(usd: float | None, settings: ComparisonSettings, identity: str = "c1") -> PlannedComparison:
    models = [
        ModelToAsk(name=name, account=name, group="openai m", model=f"ft:{name}", base_url="https://x/v1")
        for name in ("acme", "globex")
    ]
    comparison = Comparison(
        id=identity,
        run_id=RUN.id,
        state=ComparisonState.ASKING,
        created_at=0.0,
        created_by="",
        settings=settings,
        models=tuple(models),
        probe_set="0" * 64,
        probe_ids=("p1", "p2"),
        max_output_tokens=16,
    )
    left_out = (LeftOutModel(account="initech", reason="it has no model: its job is training"),)
    return PlannedComparison(comparison=comparison, run_name=RUN.name, requests=8, usd=usd, left_out=left_out)


class Planner:
    """Plans what the test wants, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.usd: float | None = 0.5
        self.error: Exception | None = None
        self.requested: list[tuple[str | None, dict[str, Any]]] = []

    async def plan(self, run: str | None, options: Mapping[str, Any]) -> PlannedComparison:
        self.requested.append((run, dict(options)))
        if self.error is not None:
            raise self.error
        return plan(self.usd, ComparisonSettings(**options), f"c{len(self.requested)}")


@pytest.fixture
def planner() -> Planner:
    return Planner()


@pytest.fixture
async def served(database: Database, planner: Planner) -> ServedApp:
    served = await serve(database)
    served.inside._plan_comparison = planner.plan
    served.rebuild()
    return served


@pytest.fixture
async def client(served: ServedApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with served.client(OPERATOR) as client:
        yield client


async def find_open(database: Database) -> Comparison | None:
    async with database.read() as connection:
        return await comparison_records.find_open(connection, RUN.id)


async def test_plan_names_price_and_left_out_models_and_stores_nothing(
    client: httpx2.AsyncClient, database: Database, planner: Planner
) -> None:
    answer = await client.post(f"{PATH}/plan?run=demo", json={"probes": 60, "scoring": "json"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "comparison": None,
        "run": RUN.id,
        "models": 2,
        "probes": 2,
        "requests": 8,
        "usd": 0.5,
        "hosting_usd": 0.0,
        "deployments": [],
        "left_out": [{"account": "initech", "reason": "it has no model: its job is training"}],
    }
    assert planner.requested == [("demo", {"probes": 60, "scoring": "json"})]
    assert await find_open(database) is None


@pytest.mark.parametrize("confirmation", [{"max_usd": 1.0}, {"expect_usd": 0.5}, {"accept_any_price": True}])
async def test_request_with_a_confirmed_price_is_stored(
    client: httpx2.AsyncClient, database: Database, confirmation: dict[str, Any]
) -> None:
    answer = await client.post(PATH, json=confirmation)
    assert answer.status_code == 200, answer.text
    stored = await find_open(database)
    assert stored is not None
    assert answer.json()["comparison"] == stored.id
    assert (stored.created_at, stored.created_by, stored.claimed_by) == (NOW, "token:ops", None)
    assert (await list_causes(database))[-1][:2] == ("token:ops", "comparison started")


@pytest.mark.parametrize(
    ("usd", "body", "detail"),
    [
        (0.5, {}, "The price of the comparison (at most $0.50) is not confirmed."),
        (None, {}, "The price of the comparison (unknown) is not confirmed."),
        (0.5, {"expect_usd": 0.4}, "The price changed: now at most $0.50, expected $0.40."),
        (None, {"expect_usd": 0.4}, "The price changed: now unknown, expected $0.40."),
    ],
)
async def test_request_without_the_right_price_is_refused(
    client: httpx2.AsyncClient, database: Database, planner: Planner, usd: float | None, body: Any, detail: str
) -> None:
    planner.usd = usd
    answer = await client.post(PATH, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (409, detail)
    assert answer.json()["hint"]
    assert await find_open(database) is None


async def test_price_that_the_dialog_showed_as_unknown_confirms_no_known_price(
    served: ServedApp, database: Database, planner: Planner
) -> None:
    planner.usd = None
    async with served.client() as browser:
        await browser.post("/login", data={"token": OPERATOR})
        html = (await browser.get("/comparison/confirm?verb=start")).text
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))
        assert form["unknown_price"] == "1"
        planner.usd = 500.0
        answer = await browser.post("/comparison/act", data=form)
        assert answer.status_code == 409
        assert "The price changed: now at most $500.00, expected unknown." in answer.text
        assert await find_open(database) is None
        planner.usd = None
        assert (await browser.post("/comparison/act", data=form)).status_code == 303
    assert await find_open(database) is not None


@pytest.mark.parametrize("error", [ConfigError("no models", hint="wait"), DatasetChanged("it is gone", hint="wait")])
async def test_reason_why_a_comparison_cannot_be_planned_is_answered(
    client: httpx2.AsyncClient, planner: Planner, error: Exception
) -> None:
    planner.error = error
    for path in (PATH, f"{PATH}/plan"):
        answer = await client.post(path, json={})
        assert (answer.status_code, answer.json()["detail"]) == (409, str(error))


async def test_second_comparison_of_a_run_is_refused(client: httpx2.AsyncClient) -> None:
    first = (await client.post(PATH, json={"max_usd": 1.0})).json()["comparison"]
    second = await client.post(PATH, json={"max_usd": 1.0})
    assert second.status_code == 409
    assert f"being compared already (comparison {first})" in second.json()["detail"]


async def test_stopped_comparison_has_ended(client: httpx2.AsyncClient, database: Database) -> None:
    identity = (await client.post(PATH, json={"max_usd": 1.0})).json()["comparison"]
    answer = await client.post(f"{PATH}/{identity}/stop")
    assert (answer.status_code, answer.json()) == (200, {"comparison": identity})
    assert await find_open(database) is None
    assert (await list_causes(database))[-1] == ("token:ops", "comparison stopped", "stopped by an operator")
    again = await client.post(f"{PATH}/{identity}/stop")
    assert (again.status_code, again.json()["detail"]) == (409, f"comparison {identity} has ended")
    assert (await client.post(f"{PATH}/nothing/stop")).status_code == 409


@pytest.mark.parametrize("path", [PATH, f"{PATH}/plan", f"{PATH}/c1/stop"])
async def test_reader_may_not_compare(served: ServedApp, planner: Planner, path: str) -> None:
    async with served.client(READER) as reader:
        assert (await reader.post(path, json={})).status_code == 403
    assert planner.requested == []


@pytest.mark.parametrize("body", [{"probes": 1}, {"probes": "60"}, {"max_usd": -1.0}, {"unknown": 1}])
async def test_unusable_options_are_refused(client: httpx2.AsyncClient, planner: Planner, body: Any) -> None:
    assert (await client.post(PATH, json=body)).status_code == 422
    assert planner.requested == []
