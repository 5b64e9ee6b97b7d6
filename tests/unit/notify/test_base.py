from __future__ import annotations

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.notify.base import format_body, format_title

ERROR = Failure("kind", "what is wrong", "what to do")


def payload(topic: Topic, **values: object) -> dict[str, object]:
    known = {"at": 0.0, "run": "r-1", "account": "acme", "provider": ProviderName.OPENAI}
    return Notification(topic=topic, **(known | values)).to_payload()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (Topic.MODEL_READY, "acme: the model is ready"),
        (Topic.JOB_FAILED, "acme: the job has failed"),
        (Topic.ACCOUNT_HELD, "acme is held"),
        (Topic.RUN_FINISHED, "run r-1 has finished"),
        (Topic.MODEL_RETIRING, "acme: the model will be shut down"),
    ],
)
def test_title_names_the_account_and_the_event(topic: Topic, expected: str) -> None:
    assert format_title(payload(topic)) == expected


@pytest.mark.parametrize("topic", Topic)
def test_each_topic_has_a_title(topic: Topic) -> None:
    assert format_title(payload(topic))


def test_body_of_a_comparison_is_its_verdict() -> None:
    comparison = {"summary": "2 of 3 alike; globex refuses 12 % of the probes"}
    body = format_body(payload(Topic.COMPARISON_FINISHED, comparison=comparison))
    assert body == "2 of 3 alike; globex refuses 12 % of the probes"


def test_body_has_the_known_facts_and_the_hint() -> None:
    assert format_body(payload(Topic.MODEL_READY, fine_tuned_model="ft:x", servable=True)) == "ft:x"
    assert "deployed" in format_body(payload(Topic.MODEL_READY, fine_tuned_model="ft:x", servable=False))
    assert format_body(payload(Topic.JOB_FAILED, error=ERROR)) == "what is wrong\nwhat to do"
    assert format_body(payload(Topic.RUN_FINISHED)) == "Every account has its model."
