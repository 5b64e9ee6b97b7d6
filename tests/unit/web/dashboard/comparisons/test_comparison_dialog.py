"""The dialog that starts a comparison: its options and the price that is confirmed."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from compared_run import create_compared_run
from comparison_worlds import World

from orchestrator.control.comparisons import LeftOutModel, PlannedComparison
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.web.dashboard.comparisons.comparison_dialog import (
    ComparisonActionRequest,
    build_comparison_href,
    build_start_dialog,
    build_stop_dialog,
)
from orchestrator.web.problem import ProblemError

COMPARISON = create_compared_run(World(seed=1, accounts=2, probes=10)).comparison


def plan(usd: float | None) -> PlannedComparison:
    left_out = (LeftOutModel(account="globex", reason="it needs a deployment"),)
    return PlannedComparison(comparison=COMPARISON, run_name="support", requests=50, usd=usd, left_out=left_out)


def parse(**values: str) -> ComparisonActionRequest:
    return ComparisonActionRequest.parse(urlencode({"verb": "start", **values}))


def test_options_are_those_that_were_chosen() -> None:
    request = parse(probes="200", max_usd="1,5", scoring="json", behaviour_probes="0", store_answers="", run="r")
    assert request.build_options() == {
        "probes": 200,
        "max_usd": 1.5,
        "scoring": ScoringMethod.JSON,
        "behaviour_probes": False,
    }
    assert parse().build_options() == {}


@pytest.mark.parametrize(
    "values",
    [
        {"probes": "1"},
        {"probes": "x"},
        {"probes": "99999"},
        {"max_usd": "inf"},
        {"scoring": "luck"},
        {"store_answers": "maybe"},
    ],
)
def test_malformed_option_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ProblemError):
        parse(**values).build_options()


def test_dialog_names_the_highest_price_and_what_is_left_out() -> None:
    dialog = build_start_dialog(parse(run="support"), plan(0.41))
    assert (dialog.title, dialog.button) == ("Compare 2 models?", "Compare for at most $0.41")
    assert dialog.request.expect_usd == 0.41
    assert dialog.left_out == (("globex", "it needs a deployment"),)
    unknown = build_start_dialog(parse(), plan(None))
    assert unknown.is_price_unknown
    assert unknown.button == "Compare at an unknown price"


def test_link_and_form_restore_the_request() -> None:
    href = build_comparison_href("stop", "run-1", "/comparison?run=run-1", "c0ffee")
    request = ComparisonActionRequest.parse(href.partition("?")[2])
    assert (request.action, request.comparison_id, request.run) == ("stop", "c0ffee", "run-1")
    assert request.back == "/comparison?run=run-1"
    assert ComparisonActionRequest.parse("verb=start&back=//evil.example/").back == "/comparison"
    for text in ("verb=delete", "verb=start&usd=x", "verb=start&run=%00"):
        with pytest.raises(ProblemError):
            ComparisonActionRequest.parse(text)
    assert build_stop_dialog(request, COMPARISON).button is None  # it has ended
