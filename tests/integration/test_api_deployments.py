"""Deployments over the API, upon both databases: pages, prices that are confirmed, roles, and the record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import httpx2
import pytest
from api_values import OPERATOR, READER, ServedApp, list_causes, serve
from deployment_actions import (
    TABLES,
    a_finished_job,
    deploy,
    fill_finished,
    find_no_price,
    find_price,
    list_all,
    record,
)
from store_values import NOW, fill

from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.transitions import hold_deployment, start_create, withdraw_deployment
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database

HOURS: dict[str, Any] = {"keep_hours": 4}


@pytest.fixture
async def served(database: Database) -> ServedApp:
    served = await serve(database)
    await fill_finished(database, "fw-1", "fw-2", "fw-3")
    served.inside._find_deployment_price = find_price
    served.inside._get_deployment_tables = lambda _run: TABLES
    served.rebuild()
    return served


@pytest.fixture
async def client(served: ServedApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with served.client(OPERATOR) as client:
        yield client


async def post(client: httpx2.AsyncClient, verb: str, **body: Any) -> httpx2.Response:
    return await client.post(f"/api/v1/deployments/{verb}", json=body)


async def test_a_plan_names_the_price_and_stores_nothing(client: httpx2.AsyncClient, database: Database) -> None:
    plan = (await post(client, "plan", accounts=["fw-1", "fw-2"], **HOURS)).json()
    assert (plan["count"], plan["total_usd"], plan["unpriced"]) == (2, 46.4, 0)
    assert plan["deployments"][0]["usd_per_hour"] == pytest.approx(5.8)
    assert plan["deployments"][0]["obstacle"] is None
    assert await list_all(database) == {}


async def test_models_are_deployed_at_the_confirmed_price_only(
    client: httpx2.AsyncClient, database: Database
) -> None:
    refused = await post(client, "deploy", accounts=["fw-1"], expect_usd=23.0, **HOURS)
    assert refused.status_code == 409
    assert refused.json()["detail"] == "The price changed: now $23.20, expected $23.00."
    assert await list_all(database) == {}
    answer = await post(client, "deploy", accounts=["fw-1"], expect_usd=23.2, **HOURS)
    assert answer.status_code == 200, answer.text
    stored = (await list_all(database))["fw-1"]
    assert answer.json() == {"deployments": [stored.id], "accounts": ["fw-1"], "count": 1}
    assert stored.spec.keep_hours == 4.0
    assert (await list_causes(database))[-1][:2] == ("token:ops", "deployment requested")


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("deploy", {"accounts": ["fw-1"], **HOURS}, 422),  # without a price
        ("deploy", {"expect_usd": 0.0, **HOURS}, 422),
        ("deploy", {"accounts": [], "expect_usd": 0.0}, 422),
        ("deploy", {"accounts": ["fw-1"], "all": True, "expect_usd": 0.0}, 422),
        ("deploy", {"accounts": ["fw-1"], "expect_usd": 23.2, "keep_hours": 0}, 422),
        ("deploy", {"accounts": ["fw-1"], "expect_usd": 23.2, "replicas": 5}, 422),
        ("plan", {"accounts": ["nobody"]}, 409),
        ("plan", {"accounts": ["fw-1"], "config": "x"}, 409),
        ("undeploy", {}, 422),
        ("undeploy", {"accounts": []}, 422),
        ("undeploy", {"deployments": ["none"]}, 409),
        ("approve", {"all": True}, 409),
    ],
)
async def test_what_selects_nothing_or_is_wrong_is_refused(
    client: httpx2.AsyncClient, database: Database, verb: str, body: dict[str, Any], status: int
) -> None:
    answer = await post(client, verb, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["hint"]
    assert await list_all(database) == {}


async def test_all_are_counted_before_they_are_stopped(client: httpx2.AsyncClient, database: Database) -> None:
    await deploy(database, "fw-1", "fw-2")
    assert (await post(client, "undeploy", all=True, expect=3)).status_code == 409
    answer = await post(client, "undeploy", all=True, expect=2)
    assert answer.json()["accounts"] == ["fw-1", "fw-2"]
    assert {each.stop_reason for each in (await list_all(database)).values()} == {StopReason.REQUESTED}
    assert [cause for cause, note, _ in await list_causes(database) if note == "stop requested"] == ["token:ops"] * 2


async def test_a_held_price_is_approved(client: httpx2.AsyncClient, database: Database) -> None:
    [held] = await deploy(database, "fw-1", price=find_no_price)
    [listed] = (await client.get("/api/v1/deployments")).json()["deployments"]
    assert (listed["held"], listed["error"]["kind"], listed["usd_per_hour"]) == (True, "price_unknown", None)
    answer = await post(client, "approve", deployments=[held.id])
    assert answer.json()["count"] == 1
    assert (await list_all(database))["fw-1"].hold is None


async def open_approval(browser: httpx2.AsyncClient, selection: str) -> dict[str, list[str]]:
    """Return the fields of the dialog's form."""
    html = (await browser.get(f"/deployments/confirm?verb=approve&{selection}")).text
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html):
        fields.setdefault(name, []).append(unescape(value))
    return fields


async def test_dialog_approves_what_it_has_shown_and_nothing_else(served: ServedApp, database: Database) -> None:
    await deploy(database, "fw-1", price=find_no_price)
    [second] = await deploy(database, "fw-2")
    expensive = Hold(HoldKind.RUN_TOO_EXPENSIVE, "it would cost 900.00 USD", "approve it")
    async with served.client() as browser:
        await browser.post("/login", data={"token": OPERATOR})
        form = await open_approval(browser, "all=1")
        second = await record(database, hold_deployment(second, expensive))
        assert (await browser.post("/deployments/act", data=form)).status_code == 303
        listed = await list_all(database)
        assert (listed["fw-1"].hold, listed["fw-2"].hold) == (None, expensive), "nobody has seen the second price"

        form = await open_approval(browser, f"deployment={second.id}")
        dearer = replace(expensive, reason="it would cost 9000.00 USD")
        await record(database, hold_deployment(second, dearer))
        answer = await browser.post("/deployments/act", data=form)
        assert answer.status_code == 409
        assert (
            "The price changed: the deployment of fw-2 is now held because it would cost 9000.00 USD." in answer.text
        )
        assert (await list_all(database))["fw-2"].hold == dearer
        form = await open_approval(browser, f"deployment={second.id}")
        assert (await browser.post("/deployments/act", data=form)).status_code == 303
    assert (await list_all(database))["fw-2"].hold is None


async def test_deployments_are_paged_by_account_and_filtered(client: httpx2.AsyncClient, database: Database) -> None:
    first, second, _ = await deploy(database, "fw-1", "fw-2", "fw-3")
    await record(database, start_create(first, now=NOW - 3600, intent_until=NOW))
    await record(database, withdraw_deployment(second, now=NOW))
    pages: list[list[str]] = []
    after: str | None = ""
    while after is not None:
        page = (await client.get("/api/v1/deployments", params={"ended": True, "limit": 2, "after": after})).json()
        assert (page["total"], page["counts"]) == (3, {"creating": 1, "stopped": 1, "wanted": 1})
        pages.append([each["account"] for each in page["deployments"]])
        after = page["next"]
    assert pages == [["fw-1", "fw-2"], ["fw-3"]]
    for query, accounts in (
        ({}, ["fw-1", "fw-3"]),
        ({"state": "stopped"}, ["fw-2"]),
        ({"account": "fw-3"}, ["fw-3"]),
        ({"provider": "azure"}, []),
        ({"run": "support"}, ["fw-1", "fw-3"]),
        ({"run": "other"}, []),
    ):
        page = (await client.get("/api/v1/deployments", params=query)).json()
        assert [each["account"] for each in page["deployments"]] == accounts, query
        assert page["totals"]["count"] == 1  # what is hidden by a filter is billed, too


async def test_readers_see_deployments_and_change_none(served: ServedApp, database: Database) -> None:
    await deploy(database, "fw-1")
    async with served.client(READER) as reader:
        assert (await reader.get("/api/v1/deployments")).json()["total"] == 1
        for verb in ("plan", "deploy", "undeploy", "approve"):
            assert (await post(reader, verb, all=True)).status_code == 403
    async with served.client() as stranger:
        assert (await stranger.get("/api/v1/deployments")).status_code == 401
    assert (await list_all(database))["fw-1"].stop_reason is None


async def test_a_job_without_a_model_is_an_obstacle_not_an_error(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await fill(database, [a_finished_job("fw-4", fine_tuned_model=None)])
    plan = (await post(client, "plan", accounts=["fw-4"], **HOURS)).json()
    assert plan["count"] == 0
    assert plan["deployments"][0]["obstacle"].startswith("it has no model yet")
