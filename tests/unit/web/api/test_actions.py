from __future__ import annotations

from typing import Any

import httpx2
import pytest
from web_values import NOW, WebServiceDouble, run, token

from orchestrator import status
from orchestrator.control.operator import ActionResult, ActionTarget
from orchestrator.control.runs import Confirmation, ShownPrice
from orchestrator.core.access_token import Role
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.operator_action import ACCOUNT_ACTIONS, RUN_ACTIONS, OperatorAction
from orchestrator.status import RunOverview

OPERATOR = "orch_operator"
READER = "orch_reader"
RUN_BODIES: dict[OperatorAction, Any] = {
    OperatorAction.APPROVE: {},
    OperatorAction.WAIVE: {"reason": " moderated elsewhere "},
    OperatorAction.START: None,
}


def service() -> WebServiceDouble:
    service = WebServiceDouble()
    service.tokens = [token("ops", OPERATOR), token("eyes", READER, Role.READER)]
    service.answers = {
        status.find_run_overview: RunOverview(run=run(), current=True, state_counts=(), problem_groups=(), labels=()),
        status.preview_action: status.ActionPreview(accounts=("one", "two"), usd=1.24, unpriced=0),
    }
    return service


def performed(action: OperatorAction, reason: str = "", **target: Any) -> tuple[Any, ...]:
    """The recorded call of `control.perform`."""
    return ("perform", (action, ActionTarget(**target)), {"actor": "token:ops", "now": NOW, "reason": reason})


async def post_action(service: WebServiceDouble, verb: str, body: Any, who: str = OPERATOR) -> httpx2.Response:
    async with service.client("http://orchestrator.example", Authorization=f"Bearer {who}") as client:
        return await client.post(f"/api/v1/actions/{verb}", json=body)


@pytest.mark.parametrize("action", RUN_ACTIONS)
async def test_action_applies_to_the_run(action: OperatorAction) -> None:
    web_service = service()
    answer = await post_action(web_service, action, RUN_BODIES[action])
    assert (answer.status_code, answer.json()) == (200, {"action": action, "accounts": [], "count": 0})
    assert web_service.calls == [performed(action, "moderated elsewhere" if action is OperatorAction.WAIVE else "")]


@pytest.mark.parametrize("action", ACCOUNT_ACTIONS)
async def test_action_applies_to_named_accounts(action: OperatorAction) -> None:
    web_service = service()
    web_service.answers[action] = ActionResult(
        action=action, accounts=("one",)
    )  # the job of "two" is in another state
    body = {"accounts": ["one", "two", "one"], "reason": " tidy ", "expect": 2}
    answer = await post_action(web_service, action, body)
    assert answer.json() == {"action": action, "accounts": ["one"], "count": 1}
    assert web_service.calls == [performed(action, "tidy", accounts=("one", "two"))]


@pytest.mark.parametrize("action", ACCOUNT_ACTIONS)
async def test_action_applies_to_all_matching_accounts(action: OperatorAction) -> None:
    web_service = service()
    answer = await post_action(
        web_service, action, {"filter": {"state": "failed", "text": " eu "}, "expect": 2, "reason": "tidy"}
    )
    assert answer.status_code == 200
    assert web_service.calls == [performed(action, "tidy", accounts=("one", "two"))]


async def test_a_remote_job_is_adopted() -> None:
    web_service = service()
    web_service.answers[OperatorAction.ADOPT] = ActionResult(action=OperatorAction.ADOPT, accounts=("one",))
    answer = await post_action(web_service, "adopt", {"job": "j-1", "remote_job": "ftjob-2"})
    assert answer.json() == {"action": "adopt", "accounts": ["one"], "count": 1}
    assert web_service.calls == [performed(OperatorAction.ADOPT, job="j-1", remote_job="ftjob-2")]
    web_service.answers[OperatorAction.ADOPT] = ConfigError("there is no job j-1", hint="Look.")
    assert (await post_action(web_service, "adopt", {"job": "j-1", "remote_job": "ftjob-2"})).status_code == 409


async def test_models_are_accepted_by_name() -> None:
    web_service = service()
    accepted = ActionResult(action=OperatorAction.ACCEPT, accounts=("one",))
    web_service.answers[OperatorAction.ACCEPT] = accepted
    answer = await post_action(web_service, "accept", {"accounts": ["one", "one"], "reason": " tested "})
    assert answer.json() == {"action": "accept", "accounts": ["one"], "count": 1}
    assert web_service.calls == [performed(OperatorAction.ACCEPT, "tested", accounts=("one",))]
    web_service.calls.clear()
    await post_action(web_service, "revoke_acceptance", {"accounts": ["two"]})
    assert web_service.calls == [performed(OperatorAction.REVOKE_ACCEPTANCE, accounts=("two",))]


async def test_action_applies_to_all_accounts_if_all_is_explicit() -> None:
    web_service = service()
    answer = await post_action(web_service, "cancel", {"all": True, "expect": 2, "reason": "tidy"})
    assert answer.status_code == 200
    assert web_service.calls == [performed(OperatorAction.CANCEL, "tidy", accounts=("one", "two"))]


@pytest.mark.parametrize("empty", [{}, {"state": None, "held": None}, {"label": "", "text": "  "}])
async def test_empty_filter_is_rejected_and_never_means_all(empty: dict[str, Any]) -> None:
    web_service = service()
    answer = await post_action(web_service, "cancel", {"filter": empty, "expect": 2})
    assert (answer.status_code, web_service.calls) == (422, [])
    assert answer.json()["detail"] == "The filter is empty, so no accounts are selected."
    assert '`"all": true`' in answer.json()["hint"]


@pytest.mark.parametrize("empty", [{}, {"deliveries": None}, {"deliveries": []}, {"expect": 1}])
async def test_omitted_deliveries_are_rejected_and_never_mean_all(empty: dict[str, Any]) -> None:
    web_service = service()
    answer = await post_action(web_service, "redeliver", empty)
    assert (answer.status_code, web_service.calls) == (422, [])
    assert answer.json()["detail"] == "No deliveries are selected."
    assert '`"all": true`' in answer.json()["hint"]


async def test_matching_nothing_changes_nothing() -> None:
    web_service = service()
    web_service.answers[status.preview_action] = status.ActionPreview(accounts=(), usd=0, unpriced=0)
    answer = await post_action(web_service, "cancel", {"filter": {"label": "eu"}, "expect": 0})
    assert (answer.json()["count"], web_service.calls) == (0, [])


@pytest.mark.parametrize("body", [{"filter": {"state": "failed"}, "expect": 3}, {"accounts": ["one"], "expect": 2}])
async def test_another_number_than_was_confirmed_does_nothing(body: dict[str, Any]) -> None:
    web_service = service()
    answer = await post_action(web_service, "retry", body)
    assert answer.status_code == 409
    assert "The selection now matches" in answer.json()["detail"]
    assert "confirm" in answer.json()["hint"]
    assert web_service.calls == []


async def test_approval_names_the_confirmed_price() -> None:
    web_service = service()
    assert (await post_action(web_service, "approve", {"expect_usd": 3.1})).status_code == 200
    confirmed = Confirmation(price=ShownPrice(usd=3.1))
    assert web_service.calls == [performed(OperatorAction.APPROVE, confirmed=confirmed)]


async def test_refused_action_is_a_conflict_with_a_hint() -> None:
    web_service = service()
    error = ConfigError("no run yet", hint="Start one.")
    web_service.answers |= {OperatorAction.START: error, OperatorAction.HOLD: error}
    for answer in (
        await post_action(web_service, "start", None),
        await post_action(web_service, "hold", {"accounts": ["nobody"]}),
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
        ("retry", {"all": False, "expect": 1}),
        ("retry", {"all": True}),
        ("retry", {"all": True, "filter": {"state": "failed"}, "expect": 1}),
        ("redeliver", {"deliveries": [1e300]}),
        ("redeliver", {"deliveries": [7], "all": True}),
        ("waive", {}),
        ("waive", {"reason": "  "}),
        ("approve", {"expect_usd": "much"}),
        ("approve", []),
        ("accept", {"accounts": ["one"]}),
        ("accept", {"accounts": ["one"], "reason": "  "}),
        ("accept", {"accounts": [], "reason": "tested"}),
        ("accept", {"all": True, "expect": 2, "reason": "tested"}),
        ("revoke_acceptance", {"all": True}),
    ],
)
async def test_invalid_body_is_a_problem_with_a_hint(verb: str, body: Any) -> None:
    web_service = service()
    answer = await post_action(web_service, verb, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    assert web_service.calls == []


EVERY_ACTION: list[tuple[str, Any]] = (
    [(OperatorAction.ADOPT, {"job": "j", "remote_job": "r"}), (OperatorAction.REDELIVER, {"all": True})]
    + list(RUN_BODIES.items())
    + [(action, {"accounts": ["one"]}) for action in ACCOUNT_ACTIONS]
    + [(OperatorAction.ACCEPT, {"accounts": ["one"], "reason": "tested"})]
    + [(OperatorAction.REVOKE_ACCEPTANCE, {"accounts": ["one"]})]
)


@pytest.mark.parametrize(("verb", "body"), EVERY_ACTION)
async def test_reader_cannot_act(verb: str, body: Any) -> None:
    web_service = service()
    answer = await post_action(web_service, verb, body, READER)
    assert (answer.status_code, answer.json()["detail"]) == (403, "Token eyes is read-only.")
    assert "orchestrator token create" in answer.json()["hint"]
    assert web_service.calls == []


@pytest.mark.parametrize(("verb", "body"), EVERY_ACTION)
async def test_unauthenticated_client_cannot_act(verb: str, body: Any) -> None:
    web_service = service()
    assert (await post_action(web_service, verb, body, "orch_nobody")).status_code == 401
    assert web_service.calls == []


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ({"all": True}, None),
        ({"deliveries": [7], "expect": 1}, (7,)),
        ({"deliveries": [736229.0], "expect": 1.0}, (736229,)),
    ],
)
async def test_dead_deliveries_are_redelivered(body: Any, numbers: tuple[int, ...] | None) -> None:
    web_service = service()
    retried = ActionResult(action=OperatorAction.REDELIVER, deliveries=(7,))
    web_service.answers |= {status.count_failed_deliveries: 1, OperatorAction.REDELIVER: retried}
    assert (await post_action(web_service, "redeliver", body)).json() == {"deliveries": [7], "count": 1}
    assert web_service.calls == [performed(OperatorAction.REDELIVER, deliveries=numbers)]


def test_every_action_is_tested() -> None:
    assert {action for action, _ in EVERY_ACTION} == set(OperatorAction)


JSON_TYPE = {"Content-Type": "application/json"}
NOT_JSON = "body is not read as JSON: send the header `Content-Type: application/json`."


@pytest.mark.parametrize(
    ("path", "content", "headers", "detail"),
    [
        ("hold", '{"accounts": ["one"]}', {}, NOT_JSON),
        ("approve", "expect_usd=3", {"Content-Type": "application/x-www-form-urlencoded"}, NOT_JSON),
        ("hold", "[]", JSON_TYPE, "body must be a JSON object."),
        ("approve", "", JSON_TYPE, "body is required."),
        ("hold", "{}", JSON_TYPE, "body requires `accounts`; or `filter` and `expect`; or `all` and `expect`."),
        ("hold", '{"accounts": ["one"], "why": 1}', JSON_TYPE, "body.why is not a known field."),
        ("approve", '{"Why": 1}', JSON_TYPE, "body.Why is not a known field."),
        ("hold", '{"filter": {"colour": 1}, "expect": 1}', JSON_TYPE, "body.filter.colour is not a known field."),
        ("hold", '{"filter": 1, "expect": 1}', JSON_TYPE, "body.filter must be a JSON object."),
        ("hold", '{"all": true}', JSON_TYPE, "body.expect is required."),
        ("approve", '{"expect_usd": "x"}', JSON_TYPE, "body.expect_usd: Input should be a valid number."),
        ("approve", "{", JSON_TYPE, None),
    ],
)
async def test_invalid_body_is_described_without_the_names_of_classes(
    path: str, content: str, headers: dict[str, str], detail: str | None
) -> None:
    web_service = service()
    async with web_service.client("http://orchestrator.example", Authorization=f"Bearer {OPERATOR}") as client:
        answer = await client.post(f"/api/v1/actions/{path}", content=content.encode(), headers=headers)
    assert answer.status_code == 422
    said = answer.json()["detail"]
    assert said == detail if detail else said.startswith("body is not valid JSON: Expecting property name")
    assert web_service.calls == []
