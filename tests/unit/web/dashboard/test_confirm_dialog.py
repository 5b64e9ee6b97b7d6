from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest
from web_values import REFUSED, WebServiceDouble, job, status, token

from orchestrator import status as read
from orchestrator.control.operator import ActionResult, ActionTarget
from orchestrator.control.runs import Confirmation, ShownPrice
from orchestrator.core.access_token import Role
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.operator_action import ACTION_INFO, ActionScope, OperatorAction

THREE = ("one", "two", "three")
RUN = {"verb": "approve", "usd": "3.1"}


def service() -> WebServiceDouble:
    """Three failed accounts at 1.86 dollars, without a token; the client is a browser on this machine."""
    web_service = WebServiceDouble(*(job(name, "failed", error=REFUSED) for name in THREE))
    web_service.answers[read.preview_action] = read.ActionPreview(accounts=THREE, usd=1.86, unpriced=0)
    return web_service


async def dialog(web_service: WebServiceDouble, query: str) -> str:
    async with web_service.client() as client:
        answer = await client.get(f"/confirm?{query}")
    assert answer.status_code == 200
    return answer.text


async def act(web_service: WebServiceDouble, form: dict[str, Any], **headers: str) -> httpx2.Response:
    async with web_service.client() as client:
        match = re.search(r'name="csrf" value="(\w+)"', (await client.get("/confirm?verb=approve")).text)
        assert match
        return await client.post("/act", data=form | {"csrf": match[1]}, headers=headers)


async def test_dialog_states_count_price_and_accounts() -> None:
    html = await dialog(service(), "verb=retry&state=failed&all=1")
    assert "Retry the failed jobs of 3 accounts?" in html
    assert "$1.86" in html
    assert "one, two, three" in html
    assert 'name="expect" value="3"' in html
    assert 'name="state" value="failed"' in html


async def test_dialog_reports_jobs_without_a_price() -> None:
    web_service = service()
    web_service.answers[read.preview_action] = read.ActionPreview(accounts=THREE, usd=1.0, unpriced=2)
    assert "$1.00, and 2 jobs without a known price" in await dialog(web_service, "verb=release&all=1")


@pytest.mark.parametrize("verb", ["cancel", "hold"])
async def test_free_action_states_no_price(verb: str) -> None:
    assert "Estimated price" not in await dialog(service(), f"verb={verb}&all=1")


@pytest.mark.parametrize("verb", ["retry", "release", "hold", "cancel"])
async def test_empty_selection_cannot_be_confirmed(verb: str) -> None:
    web_service = service()
    web_service.answers[read.preview_action] = read.ActionPreview(accounts=(), usd=0, unpriced=0)
    html = await dialog(web_service, f"verb={verb}&q=nobody&all=1")
    assert f"Nothing to {verb}" in html
    assert 'id="yes"' not in html


@pytest.mark.parametrize("verb", ["retry", "release", "hold", "cancel", "redeliver"])
@pytest.mark.parametrize("fields", ["", "&state=failed", "&all=0", "&q=one", "&{other}=1"])
async def test_action_without_a_selection_is_refused(verb: str, fields: str) -> None:
    fields = fields.format(other="account" if verb == "redeliver" else "delivery")
    web_service = service()
    web_service.answers[read.count_failed_deliveries] = 3
    html = await dialog(web_service, f"verb={verb}{fields}")
    assert re.search("No (accounts|deliveries) are selected", html)
    assert 'id="yes"' not in html
    for expect in ("0", "3"):
        form = dict(each.split("=") for each in f"verb={verb}&expect={expect}{fields}".split("&"))
        answer = await act(web_service, form)
        assert answer.status_code == 422
        assert "select all of them explicitly" in answer.text
    assert web_service.calls == []


async def test_all_is_explicit_in_the_form() -> None:
    assert 'name="all" value="1"' in await dialog(service(), "verb=retry&state=failed&all=1")
    assert 'name="all"' not in await dialog(service(), "verb=retry&account=one")


async def test_an_approval_states_the_price_that_it_covers() -> None:
    html = await dialog(service(), "verb=approve")
    assert "Approve support-tone?" in html
    assert "$3.10" in html
    assert 'name="usd" value="3.1"' in html


@pytest.mark.parametrize("action", OperatorAction)
async def test_every_action_has_a_dialog_with_its_texts(action: OperatorAction) -> None:
    web_service = service()
    web_service.answers[read.count_failed_deliveries] = 3
    info = ACTION_INFO[action]
    selection = "account=acme-eu" if info.scope is ActionScope.MODELS else "all=1"
    html = await dialog(web_service, f"verb={action}&job=job-one&{selection}")
    assert info.confirmation in html.replace("&#39;", "'")
    assert ("Estimated price" in html) is info.shows_price
    assert ('class="danger"' in html) is info.is_destructive
    assert ('name="reason"' in html) is (info.reason != "none")
    assert 'id="yes"' in html


async def test_a_waiver_needs_a_reason() -> None:
    assert re.search(r'name="reason"[^>]* required', await dialog(service(), "verb=waive"))


async def test_models_are_accepted_by_name_and_never_all() -> None:
    html = await dialog(service(), "verb=accept&account=acme-eu")
    assert "Accept the model of acme-eu?" in html
    assert re.search(r'name="reason"[^>]* required', html)
    assert 'id="yes"' not in await dialog(service(), "verb=accept&all=1")
    web_service = service()
    assert (await act(web_service, {"verb": "accept", "all": "1", "reason": "tested"})).status_code == 422
    assert web_service.calls == []
    answer = await act(
        web_service, {"verb": "accept", "account": "acme-eu", "reason": "tested"}, **{"HX-Request": "true"}
    )
    assert answer.status_code == 204
    [(_, arguments, options)] = web_service.calls
    assert arguments == (OperatorAction.ACCEPT, ActionTarget(accounts=("acme-eu",)))
    assert options["reason"] == "tested"


async def test_confirmed_action_is_executed_and_reported() -> None:
    web_service = service()
    form = {"verb": "retry", "all": "1", "state": "failed", "expect": "3", "back": "/?state=failed"}
    answer = await act(web_service, form, **{"HX-Request": "true"})
    assert answer.status_code == 204
    assert json.loads(answer.headers["hx-trigger"]) == {
        "actionPerformed": {"message": "Retrying the jobs of 3 accounts"}
    }
    [(_, arguments, _)] = web_service.calls
    assert arguments == (OperatorAction.RETRY, ActionTarget(accounts=THREE))


async def test_action_without_javascript_redirects_back() -> None:
    answer = await act(service(), {"verb": "retry", "all": "1", "expect": "3", "back": "/?state=failed"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?state=failed")


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_redirect_stays_on_the_same_site(back: str) -> None:
    answer = await act(service(), {"verb": "retry", "all": "1", "expect": "3", "back": back})
    assert answer.headers["location"] == "/"


async def test_changed_count_is_confirmed_again() -> None:
    web_service = service()
    answer = await act(web_service, {"verb": "retry", "all": "1", "expect": "300"})
    assert answer.status_code == 409
    assert "The selection now matches 3 accounts, expected 300." in answer.text
    assert 'name="expect" value="3"' in answer.text
    assert web_service.calls == []


@pytest.mark.parametrize(
    ("form", "confirmed"),
    [
        (RUN, Confirmation(price=ShownPrice(usd=3.1))),
        (RUN | {"usd": ""}, Confirmation(price=ShownPrice(usd=None))),
        (RUN | {"expect_run": "run-1"}, Confirmation(run_id="run-1", price=ShownPrice(usd=3.1))),
        ({"verb": "waive", "reason": "seen", "usd": "3.1"}, Confirmation()),
        ({"verb": "cancel", "all": "1", "expect": "3", "expect_run": "run-1"}, Confirmation(run_id="run-1")),
        (
            {"verb": "retry", "all": "1", "expect": "3", "usd": "1.86", "unpriced": "2"},
            Confirmation(price=ShownPrice(usd=1.86, unpriced=2)),
        ),
    ],
)
async def test_action_names_what_the_dialog_has_shown(form: dict[str, str], confirmed: Confirmation) -> None:
    web_service = service()
    assert (await act(web_service, form)).status_code == 303
    [(_, (_, target), _)] = web_service.calls
    assert target.confirmed == confirmed


async def test_refused_action_shows_its_hint() -> None:
    web_service = service()
    web_service.answers[OperatorAction.APPROVE] = ConfigError("there is no run yet", hint="Start one.")
    answer = await act(web_service, RUN)
    assert answer.status_code == 409
    assert "there is no run yet" in answer.text
    assert "Start one." in answer.text


async def test_operator_selects_the_remote_job() -> None:
    web_service = service()
    web_service.answers[OperatorAction.ADOPT] = ActionResult(action=OperatorAction.ADOPT, accounts=("one",))
    assert re.search(r'name="remote_job"[^>]* required', await dialog(web_service, "verb=adopt&job=job-one"))
    form = {"verb": "adopt", "job": "job-one", "remote_job": " ftjob-2 ", "back": "/accounts/one"}
    answer = await act(web_service, form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/accounts/one")
    [(_, arguments, _)] = web_service.calls
    assert arguments == (OperatorAction.ADOPT, ActionTarget(job="job-one", remote_job="ftjob-2"))


async def test_redelivery_dialog_states_the_count() -> None:
    web_service = service()
    web_service.answers[read.count_failed_deliveries] = 2
    html = await dialog(web_service, "verb=redeliver&delivery=7&delivery=9")
    assert "Retry 2 deliveries?" in html
    assert 'name="delivery" value="9"' in html
    form = {"verb": "redeliver", "delivery": ["7", "9"], "back": "/deliveries"}
    assert (await act(web_service, form | {"expect": "3"})).status_code == 409
    assert web_service.calls == []
    assert (await act(web_service, form | {"expect": "2"})).headers["location"] == "/deliveries"
    [(_, arguments, _)] = web_service.calls
    assert arguments == (OperatorAction.REDELIVER, ActionTarget(deliveries=(7, 9)))
    web_service.answers[read.count_failed_deliveries] = 0
    assert 'id="yes"' not in await dialog(web_service, "verb=redeliver&all=1")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "verb=",
        "verb=destroy",
        "verb=approve&usd=much",
        "verb=redeliver&delivery=all",
        f"verb=redeliver&delivery={2**31}",
    ],
)
async def test_invalid_confirmation_query_is_refused(query: str) -> None:
    async with service().client() as client:
        assert (await client.get(f"/confirm?{query}")).status_code == 422


async def test_reader_sees_no_action_and_cannot_confirm() -> None:
    web_service = service()
    web_service.tokens = [token("eyes", "orch_reader", Role.READER)]
    async with web_service.client(Authorization="Bearer orch_reader") as client:
        page = (await client.get("/")).text
        refused = await client.get("/confirm?verb=retry")
        acted = await client.post("/act", data={"verb": "retry", "expect": "3"})
    assert "/confirm" not in page
    assert 'id="action-dialog"' not in page
    assert (refused.status_code, acted.status_code, web_service.calls) == (403, 403, [])


async def test_earlier_run_offers_no_actions() -> None:
    web_service = service()
    overview = read.RunOverview(run=status().run, current=False, state_counts=(), problem_groups=(), labels=())  # type: ignore[arg-type]
    web_service.answers[read.find_run_overview] = overview
    async with web_service.client() as client:
        page = (await client.get("/?run=run-0")).text
    assert "An earlier run" in page
    assert "/confirm" not in page
