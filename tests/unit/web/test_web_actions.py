from __future__ import annotations

from typing import Any

import httpx2
import pytest
from web_values import REFUSED, Service, job, ready, status, token

from orchestrator.control import Verb
from orchestrator.core.errors import ConfigError, Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.token import Role

OPERATOR = "orch_operator"
READER = "orch_reader"
OF_RUN = {"approve": {}, "waive": {"reason": "seen elsewhere"}, "start": None}
OF_ACCOUNTS = ["cancel", "retry", "hold", "release"]
BUDGET = Failure(HoldKind.OVER_BUDGET, "too dear", "Raise it.")
SEVEN = (
    ready("done"),
    job("failed-1", "failed", error=REFUSED, labels=["eu"]),
    job("failed-2", "failed", error=REFUSED),
    job("running", "running"),
    job("held", "planned", held=True, error=REFUSED),
    job("poor", "planned", held=True, error=BUDGET),
    job("leaving", "cancelling"),
)


def service() -> Service:
    service = Service(*SEVEN)
    service.tokens = [token("ops", OPERATOR), token("eyes", READER, Role.READER)]
    return service


def operator(service: Service) -> httpx2.AsyncClient:
    return service.client("http://orchestrator.example", Authorization=f"Bearer {OPERATOR}")


async def ask(service: Service, verb: str, body: Any) -> httpx2.Response:
    async with operator(service) as client:
        return await client.post(f"/api/v1/actions/{verb}", json=body)


@pytest.mark.parametrize("verb", OF_RUN)
async def test_what_is_asked_of_the_run(verb: str) -> None:
    asked = service()
    answer = await ask(asked, verb, OF_RUN[verb])
    assert (answer.status_code, answer.json()) == (200, {"action": verb, "accounts": [], "count": 0})
    assert asked.asked == [(Verb(verb), [], "seen elsewhere" if verb == "waive" else "", "token:ops")]


@pytest.mark.parametrize("verb", OF_ACCOUNTS)
async def test_what_is_asked_of_named_accounts(verb: str) -> None:
    asked = service()
    answer = await ask(asked, verb, {"accounts": ["held", "done", "held"], "reason": " tidy ", "expect": 2})
    assert answer.json() == {"action": verb, "accounts": ["held", "done"], "count": 2}
    assert asked.asked == [(Verb(verb), ["held", "done"], "tidy", "token:ops")]


@pytest.mark.parametrize(
    ("verb", "query", "meant"),
    [
        ("retry", {}, ["failed-1", "failed-2"]),
        ("retry", {"state": "failed", "text": "EU"}, ["failed-1"]),
        ("retry", {"state": "running"}, []),
        ("cancel", {}, ["running", "held", "poor"]),
        ("release", {}, ["held"]),
        ("hold", {"text": "failed-"}, ["failed-1", "failed-2"]),
    ],
)
async def test_all_that_match_and_can_be_asked(verb: str, query: dict[str, str], meant: list[str]) -> None:
    asked = service()
    answer = await ask(asked, verb, {"filter": query, "expect": len(meant)})
    assert answer.json()["accounts"] == meant
    assert [names for _, names, _, _ in asked.asked] == ([meant] if meant else []), "nobody is not everybody"


async def test_what_holds_the_whole_run_is_not_released_in_one_account() -> None:
    asked = service()
    asked.status = status(*SEVEN, holds=[REFUSED])
    assert (await ask(asked, "release", {"filter": {}, "expect": 0})).json()["count"] == 0


@pytest.mark.parametrize(
    "body", [{"filter": {"state": "failed"}, "expect": 3}, {"accounts": ["failed-1"], "expect": 2}]
)
async def test_another_number_than_was_confirmed_does_nothing(body: dict[str, Any]) -> None:
    asked = service()
    answer = await ask(asked, "retry", body)
    assert answer.status_code == 409
    assert "by now" in answer.json()["detail"]
    assert "confirm" in answer.json()["hint"]
    assert asked.asked == []


async def test_another_price_than_was_confirmed_approves_nothing() -> None:
    asked = service()
    assert (await ask(asked, "approve", {"expect_usd": 3.0})).status_code == 409
    assert asked.asked == []
    assert (await ask(asked, "approve", {"expect_usd": 3.1})).status_code == 200


async def test_an_unknown_account_is_told() -> None:
    asked = service()
    answer = await ask(asked, "hold", {"accounts": ["done", "nobody"]})
    assert (answer.status_code, answer.json()["detail"]) == (404, "the run has no account nobody")
    assert asked.asked == []


async def test_what_control_refuses_is_a_conflict_with_its_hint() -> None:
    asked = service()
    asked.refusal = ConfigError("there is no run yet", hint="Start one.")
    answer = await ask(asked, "start", None)
    assert (answer.status_code, answer.json()["detail"], answer.json()["hint"]) == (
        409,
        "there is no run yet",
        "Start one.",
    )


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("retry", {}),
        ("retry", {"accounts": []}),
        ("retry", {"filter": {}}),
        ("retry", {"filter": {"colour": "red"}, "expect": 1}),
        ("retry", {"accounts": ["done"], "filter": {}, "expect": 1}),
        ("waive", {}),
        ("waive", {"reason": "  "}),
        ("approve", {"expect_usd": "much"}),
        ("approve", []),
    ],
)
async def test_a_body_that_makes_no_sense_is_a_problem_with_a_hint(verb: str, body: Any) -> None:
    asked = service()
    answer = await ask(asked, verb, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    assert asked.asked == []


EVERY_ASK = [*OF_RUN.items(), *((verb, {"accounts": ["held"]}) for verb in OF_ACCOUNTS)]


@pytest.mark.parametrize(("verb", "body"), EVERY_ASK)
async def test_a_reader_acts_on_nothing(verb: str, body: Any) -> None:
    asked = service()
    async with asked.client(Authorization=f"Bearer {READER}") as client:
        answer = await client.post(f"/api/v1/actions/{verb}", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (403, "the token eyes may only look")
    assert "orchestrator token create" in answer.json()["hint"]
    assert asked.asked == []


@pytest.mark.parametrize(("verb", "body"), EVERY_ASK)
async def test_a_stranger_acts_on_nothing(verb: str, body: Any) -> None:
    asked = service()
    async with asked.client() as client:
        assert (await client.post(f"/api/v1/actions/{verb}", json=body)).status_code == 401
    assert asked.asked == []
