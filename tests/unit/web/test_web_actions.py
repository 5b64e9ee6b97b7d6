from __future__ import annotations

from typing import Any

import httpx2
import pytest
from web_values import NOW, WebServiceDouble, job, run, token

from orchestrator import control, status
from orchestrator.control.jobs import adopt_remote_job
from orchestrator.core.access_token import Role
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.status import RunOverview

OPERATOR = "orch_operator"
READER = "orch_reader"
BY = {"by": "token:ops", "now": NOW}
OF_RUN: dict[str, tuple[Any, str, dict[str, str]]] = {
    "approve": ({}, "approve", {}),
    "waive": ({"reason": " seen elsewhere "}, "waive_moderation", {"reason": "seen elsewhere"}),
    "start": (None, "start", {}),
}
OF_ACCOUNTS: dict[str, tuple[str, dict[str, str]]] = {
    "cancel": ("cancel", {}),
    "retry": ("retry", {}),
    "hold": ("hold_accounts", {"reason": "tidy"}),
    "release": ("release_accounts", {}),
}


def service() -> WebServiceDouble:
    service = WebServiceDouble()
    service.tokens = [token("ops", OPERATOR), token("eyes", READER, Role.READER)]
    service.answers = {
        control.cancel: [job("one", "cancelling")],
        control.retry: [job("one", "planned")],
        status.find_run_overview: RunOverview(run=run(), current=True, state_counts=(), problem_groups=(), labels=()),
        status.preview_action: status.ActionPreview(accounts=("one", "two"), usd=1.24, unpriced=0),
    }
    return service


async def post_action(service: WebServiceDouble, verb: str, body: Any, who: str = OPERATOR) -> httpx2.Response:
    async with service.client("http://orchestrator.example", Authorization=f"Bearer {who}") as client:
        return await client.post(f"/api/v1/actions/{verb}", json=body)


@pytest.mark.parametrize("verb", OF_RUN)
async def test_action_applies_to_the_run(verb: str) -> None:
    asked = service()
    body, function, options = OF_RUN[verb]
    answer = await post_action(asked, verb, body)
    assert (answer.status_code, answer.json()) == (200, {"action": verb, "accounts": [], "count": 0})
    assert asked.asked == [(function, (), options | BY)]


@pytest.mark.parametrize("verb", OF_ACCOUNTS)
async def test_action_applies_to_named_accounts(verb: str) -> None:
    asked = service()
    function, options = OF_ACCOUNTS[verb]
    answer = await post_action(asked, verb, {"accounts": ["one", "two", "one"], "reason": " tidy ", "expect": 2})
    asked_of = ["one"] if verb in {"cancel", "retry"} else ["one", "two"]  # those whose jobs were in another state
    assert answer.json() == {"action": verb, "accounts": asked_of, "count": len(asked_of)}
    assert asked.asked == [(function, (["one", "two"],), options | BY)]


@pytest.mark.parametrize("verb", OF_ACCOUNTS)
async def test_action_applies_to_all_matching_accounts(verb: str) -> None:
    asked = service()
    answer = await post_action(
        asked, verb, {"filter": {"state": "failed", "text": " eu "}, "expect": 2, "reason": "tidy"}
    )
    assert answer.status_code == 200
    function, options = OF_ACCOUNTS[verb]
    assert asked.asked == [(function, (["one", "two"],), options | BY)]


async def test_a_remote_job_is_adopted() -> None:
    asked = service()
    asked.answers[adopt_remote_job] = job("one", "submitting")
    answer = await post_action(asked, "adopt", {"job": "j-1", "remote_job": "ftjob-2"})
    assert answer.json() == {"action": "adopt", "accounts": ["one"], "count": 1}
    assert asked.asked == [("adopt_remote_job", ("j-1", "ftjob-2"), BY)]
    asked.answers[adopt_remote_job] = ConfigError("there is no job j-1", hint="Look.")
    assert (await post_action(asked, "adopt", {"job": "j-1", "remote_job": "ftjob-2"})).status_code == 409


async def test_empty_selection_selects_nothing() -> None:
    asked = service()
    asked.answers[status.preview_action] = status.ActionPreview(accounts=(), usd=0, unpriced=0)
    answer = await post_action(asked, "cancel", {"filter": {}, "expect": 0})
    assert (answer.json()["count"], asked.asked) == (0, [])


@pytest.mark.parametrize("body", [{"filter": {"state": "failed"}, "expect": 3}, {"accounts": ["one"], "expect": 2}])
async def test_another_number_than_was_confirmed_does_nothing(body: dict[str, Any]) -> None:
    asked = service()
    answer = await post_action(asked, "retry", body)
    assert answer.status_code == 409
    assert "The selection now matches" in answer.json()["detail"]
    assert "confirm" in answer.json()["hint"]
    assert asked.asked == []


async def test_another_price_than_was_confirmed_approves_nothing() -> None:
    asked = service()
    answer = await post_action(asked, "approve", {"expect_usd": 3.0})
    assert (answer.status_code, asked.asked) == (409, [])
    assert answer.json()["detail"] == "The price changed: now 3.1 USD, expected 3.0 USD."
    assert (await post_action(asked, "approve", {"expect_usd": 3.1})).status_code == 200


async def test_refused_action_is_a_conflict_with_a_hint() -> None:
    asked = service()
    asked.answers[control.start] = asked.answers[control.hold_accounts] = ConfigError("no run yet", hint="Start one.")
    for answer in (
        await post_action(asked, "start", None),
        await post_action(asked, "hold", {"accounts": ["nobody"]}),
    ):
        assert (answer.status_code, answer.json()["detail"], answer.json()["hint"]) == (
            409,
            "no run yet",
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
        ("retry", {"accounts": ["done"], "expect": 1.5}),
        ("retry", {"accounts": ["done"], "expect": True}),
        ("retry", {"accounts": ["done"], "expect": "1"}),
        ("redeliver", {"deliveries": [1e300]}),
        ("waive", {}),
        ("waive", {"reason": "  "}),
        ("approve", {"expect_usd": "much"}),
        ("approve", []),
    ],
)
async def test_invalid_body_is_a_problem_with_a_hint(verb: str, body: Any) -> None:
    asked = service()
    answer = await post_action(asked, verb, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    assert asked.asked == []


EVERY_ACTION = (
    [("adopt", {"job": "j", "remote_job": "r"}), ("redeliver", {})]
    + [(verb, body) for verb, (body, _, _) in OF_RUN.items()]
    + [(verb, {"accounts": ["one"]}) for verb in OF_ACCOUNTS]
)


@pytest.mark.parametrize(("verb", "body"), EVERY_ACTION)
async def test_reader_cannot_act(verb: str, body: Any) -> None:
    asked = service()
    answer = await post_action(asked, verb, body, READER)
    assert (answer.status_code, answer.json()["detail"]) == (403, "Token eyes is read-only.")
    assert "orchestrator token create" in answer.json()["hint"]
    assert asked.asked == []


@pytest.mark.parametrize(("verb", "body"), EVERY_ACTION)
async def test_unauthenticated_client_cannot_act(verb: str, body: Any) -> None:
    asked = service()
    assert (await post_action(asked, verb, body, "orch_nobody")).status_code == 401
    assert asked.asked == []


@pytest.mark.parametrize(
    ("body", "numbers"),
    [({}, None), ({"deliveries": [7], "expect": 1}, [7]), ({"deliveries": [736229.0], "expect": 1.0}, [736229])],
)
async def test_dead_deliveries_are_redelivered(body: Any, numbers: list[int] | None) -> None:
    asked = service()
    asked.answers |= {status.count_failed_deliveries: 1, control.redeliver: []}
    assert (await post_action(asked, "redeliver", body)).json() == {"deliveries": [], "count": 0}
    assert asked.asked == [("redeliver", (numbers,), BY)]


def test_every_verb_has_its_test() -> None:
    assert {*OF_RUN, *OF_ACCOUNTS, OperatorAction.ADOPT, OperatorAction.REDELIVER} == set(OperatorAction)
