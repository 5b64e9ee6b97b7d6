from __future__ import annotations

from typing import Any

from core_values import NOW

from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState
from orchestrator.core.notifications.comparison_notifications import build_comparison_notification
from orchestrator.core.structs import replace

RESULT: dict[str, Any] = {
    "passed": False,
    "summary": "1 of 2 alike; globex refuses 12 %",
    "accounts": [{"account": "acme", "verdict": "alike"}, {"account": "globex", "verdict": "different"}],
}
FINISHED = Comparison(
    id="c1",
    run_id="r1",
    state=ComparisonState.FINISHED,
    created_at=NOW,
    created_by="operator:ada",
    settings=ComparisonSettings(),
    models=(),
    probe_set="0" * 64,
    probe_ids=(),
    max_output_tokens=16,
    requests=840,
    spent_usd=0.5,
    hosting_usd=1.25,
    result=RESULT,
    message=RESULT["summary"],
)


def test_finished_comparison_is_announced_with_its_verdict_and_counts() -> None:
    payload = build_comparison_notification(FINISHED, NOW).to_payload()
    assert payload["type"] == "comparison.finished"
    data = payload["data"]
    assert (data["run"], data["state"], data["error"]) == ("r1", "finished", None)
    assert {name: data[name] for name in ("comparison", "passed", "summary", "verdicts", "requests", "usd")} == {
        "comparison": "c1",
        "passed": False,
        "summary": "1 of 2 alike; globex refuses 12 %",
        "verdicts": {"alike": 1, "different": 1, "not_sure": 0, "not_comparable": 0},
        "requests": 840,
        "usd": 1.75,
    }


def test_stopped_comparison_is_announced_with_its_reason() -> None:
    stopped = replace(FINISHED, state=ComparisonState.STOPPED, result=None, message="max_usd (1) would be exceeded")
    data = build_comparison_notification(stopped, NOW).to_payload()["data"]
    assert (data["state"], data["summary"], data["verdicts"]) == ("stopped", None, {})
    assert data["error"]["kind"] == "comparison_stopped"
    assert data["error"]["message"] == "max_usd (1) would be exceeded"


def test_price_that_is_unknown_stays_unknown() -> None:
    assert build_comparison_notification(replace(FINISHED, hosting_usd=None), NOW).to_payload()["data"]["usd"] is None
