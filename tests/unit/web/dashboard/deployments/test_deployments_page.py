"""The page of deployments and its dialog: costs, countdown, and the dollars that are confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from status_values import a_deployment_view
from web_values import NOW, WebServiceDouble, environment, job, ready

from orchestrator.control import plan_deployments
from orchestrator.core.errors import ConfigError, Failure
from orchestrator.status import (
    DeploymentListing,
    DeploymentTotals,
    DeploymentView,
    ServingView,
    count_deployments,
    list_deployments,
)
from orchestrator.web.dashboard.deployments.deployment_dialog import DeploymentActionRequest
from orchestrator.web.dashboard.deployments.deployments_page import DeploymentTableRow

READY: dict[str, Any] = {
    "state": "ready",
    "started_at": NOW - 3600,
    "expires_at": NOW + 3600,
    "state_since": NOW - 600,
    "usd_per_hour": 5.8,
    "so_far_usd": 5.8,
    "until_end_usd": 11.6,
    "model_string": "m#dep",
    "base_url": "https://call.example/v1",
}


def test_note_says_which_deployments_a_comparison_stops() -> None:
    compared = READY | {"comparison": "c" * 32}
    assert DeploymentTableRow.from_view(a_deployment_view(**READY), NOW).note == ""
    assert "comparison, which stops it" in DeploymentTableRow.from_view(a_deployment_view(**compared), NOW).note
    stopping = compared | {"stop_reason": "requested"}
    assert "stop is in progress" in DeploymentTableRow.from_view(a_deployment_view(**stopping), NOW).note
    assert DeploymentTableRow.from_view(a_deployment_view(**compared | {"ended_at": NOW}), NOW).note == ""


def test_note_names_what_the_earlier_deployments_of_the_model_cost() -> None:
    again = READY | {"earlier_usd": 8.13}
    assert "deployed before, for at most $8.13" in DeploymentTableRow.from_view(a_deployment_view(**again), NOW).note


def service(*views: DeploymentView) -> WebServiceDouble:
    double = WebServiceDouble()
    totals = DeploymentTotals(count=len(views), usd_per_hour=5.8, so_far_usd=5.8, until_end_usd=11.6, unpriced=1)
    double.answers[list_deployments] = DeploymentListing(
        deployments=views, counts={each.state: 1 for each in views}, totals=totals
    )
    double.answers[count_deployments] = {each.state: 1 for each in views}
    return double


async def read(double: WebServiceDouble, path: str = "/deployments", status: int = 200) -> str:
    async with double.client() as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


async def test_the_page_names_costs_countdown_and_how_to_call() -> None:
    page = await read(service(a_deployment_view(**READY)))
    for shown in ("$5.80 an hour", "at most $11.60", "in 1 h", "m#dep", "https://call.example/v1", "ready"):
        assert shown in page
    assert "The price of 1 deployment is unknown" in page


async def test_a_held_price_can_be_approved_and_a_budget_cannot() -> None:
    unknown = Failure("price_unknown", "the price is unknown", "Approve it.")
    page = await read(service(a_deployment_view(held=True, error=unknown)))
    assert 'id="act-approve"' in page
    assert "the price is unknown. " in page
    budget = Failure("over_budget", "above the budget", "Raise it.")
    page = await read(service(a_deployment_view(held=True, error=budget)))
    assert 'id="act-approve"' not in page


async def test_a_deployment_that_ends_soon_is_marked() -> None:
    soon = DeploymentTableRow.from_view(a_deployment_view(**READY | {"expires_at": NOW + 800}), NOW)
    late = DeploymentTableRow.from_view(a_deployment_view(**READY), NOW)
    ended = DeploymentTableRow.from_view(a_deployment_view(**READY | {"state": "stopped", "ended_at": NOW}), NOW)
    assert [each.is_expiring for each in (soon, late, ended)] == [True, False, False]
    assert (soon.ends, ended.ends, ended.can_stop, ended.model_string) == ("in 13 min 20 s", "ended", False, None)


async def test_a_removed_account_is_reported_because_nobody_stops_its_deployment() -> None:
    page = await read(service(a_deployment_view(**READY, is_account_removed=True)))
    assert "cannot stop this deployment" in page


async def test_a_reader_sees_the_page_and_no_dialog() -> None:
    double = service(a_deployment_view(**READY))
    double.tokens = environment(None, "r" * 20)
    async with double.client(Authorization="Bearer " + "r" * 20) as client:
        page = await client.get("/deployments")
        dialog = await client.get("/deployments/confirm?verb=undeploy&all=1")
    assert (page.status_code, dialog.status_code) == (200, 403)
    assert "act-undeploy" not in page.text


async def test_the_options_are_asked_for_before_anything_is_wrong() -> None:
    double = WebServiceDouble()
    double.answers[plan_deployments] = ConfigError("a deployment at fireworks needs `keep_hours`", hint="Pass it.")
    page = await read(double, "/deployments/confirm?verb=deploy&all=1")
    assert 'class="callout' not in page
    assert 'name="keep_hours"' in page
    page = await read(double, "/deployments/confirm?verb=deploy&all=1&max_replicas=2")
    assert 'class="callout bad"' in page
    page = await read(double, "/deployments/confirm?verb=deploy&all=1&keep_hours=soon")
    assert "must be a number" in page


@pytest.mark.parametrize("query", ["", "verb=deploy", "verb=undeploy", "verb=approve"])
async def test_an_empty_selection_has_nothing_to_confirm(query: str) -> None:
    page = await read(WebServiceDouble(), f"/deployments/confirm?{query}", 200 if query else 422)
    assert 'id="yes"' not in page


def test_a_request_survives_its_form() -> None:
    text = "verb=deploy&account=a&account=b&run=tone&keep_hours=4&usd=23.2&expect=2&back=//evil.example"
    request = DeploymentActionRequest.parse(text)
    assert (request.accounts, request.expect_usd, request.expect) == (("a", "b"), 23.2, 2)
    assert request.back == "/deployments"
    assert request.build_selection(request.accounts).options == {"keep_hours": 4.0}
    assert dict(request.form_fields)["run"] == "tone"
    assert DeploymentActionRequest.parse("verb=deploy&all=1&usd=nan").expect_usd is None


async def test_the_accounts_table_says_until_when_a_model_is_callable() -> None:
    serving = ServingView(
        callable=True, state="ready", model="m#dep", base_url=None, expires_at=NOW + 3600, deployment="d"
    )
    deployed = ready("acme", servable=False, serving=serving)
    double = WebServiceDouble(deployed, job("late", "running"))
    page = await read(double, "/")
    assert "callable until 2026-" in page
    assert "must be deployed before use" not in page
