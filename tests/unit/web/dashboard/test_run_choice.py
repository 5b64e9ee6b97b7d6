"""The choice of a run on every page, and the links and actions that keep it."""

from __future__ import annotations

import re

import pytest
from web_values import REFUSED, WebServiceDouble, job, ready, run, status

from orchestrator.control.operator import ActionTarget
from orchestrator.control.runs import Confirmation, ShownPrice
from orchestrator.core.structs import replace
from orchestrator.status import CurrentRun
from orchestrator.web.dashboard.run_choice import RunChoice, build_run_choice

TONE = CurrentRun(id="run-1", name="support tone", dataset_sha256="aa")
FACTS = CurrentRun(id="run-2", name="facts", dataset_sha256="bb")


def service_of_two_runs() -> WebServiceDouble:
    service = WebServiceDouble()
    shown = status(job("acme", "failed", run="run-1", error=REFUSED), ready("acme", run="run-2"))
    service.status = replace(shown, other_runs=(run(id="run-2", name="facts"),))
    return service


@pytest.mark.parametrize("current", [(), (TONE,)])
def test_single_run_has_no_choice(current: tuple[CurrentRun, ...]) -> None:
    assert build_run_choice(current, "/plan", "") == RunChoice()
    assert RunChoice().suffix == ""


@pytest.mark.parametrize(
    ("path", "requested", "hrefs", "chosen"),
    [
        ("/plan", "", ["/plan?run=support+tone", "/plan?run=facts"], ["support tone"]),
        ("/plan", "facts", ["/plan?run=support+tone", "/plan?run=facts"], ["facts"]),
        ("/accounts/acme", "run-2", ["/accounts/acme?run=support+tone", "/accounts/acme?run=facts"], ["facts"]),
        ("/runs", "", ["/?run=support+tone", "/?run=facts"], []),
        ("/datasets/bb", "", ["/datasets/aa", "/datasets/bb"], ["facts"]),
        ("/", "an-earlier-run", ["/?run=support+tone", "/?run=facts"], []),
    ],
)
def test_link_leads_to_the_same_page_of_the_other_run(
    path: str, requested: str, hrefs: list[str], chosen: list[str]
) -> None:
    choice = build_run_choice([TONE, FACTS], path, requested)
    assert [link.href for link in choice.links] == hrefs
    assert [link.name for link in choice.links if link.chosen] == chosen


async def test_action_in_the_dialog_reaches_the_run_of_the_page() -> None:
    service = service_of_two_runs()
    async with service.client() as client:
        dialog = await client.get("/confirm", params={"verb": "approve", "run": "facts"})
        assert 'name="run" value="facts"' in dialog.text
        token = re.search('name="csrf" value="([^"]+)"', dialog.text)
        assert token
        form = {"verb": "approve", "run": "facts", "usd": "3.1", "csrf": token[1]}
        acted = await client.post("/act", data=form)
    assert acted.status_code == 303
    [(_, arguments, _)] = [call for call in service.calls if call[0] == "perform"]
    assert arguments[1] == ActionTarget(run="facts", confirmed=Confirmation(price=ShownPrice(usd=3.1)))


async def test_run_page_without_a_name_shows_the_first_run_and_its_links_keep_it() -> None:
    async with service_of_two_runs().client() as client:
        bare = await client.get("/")
        page = (await client.get("/?state=failed")).text
    assert (bare.status_code, bare.headers["location"]) == (303, "/overview")
    assert "<h1>support-tone</h1>" in page
    assert 'href="/accounts/acme?run=support-tone"' in page
    assert "run=support-tone&amp;" in page.partition('id="act-attention-1"')[2]
    assert '<input type="hidden" name="run" value="support-tone">' in page
