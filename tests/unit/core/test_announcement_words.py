from __future__ import annotations

import pytest
from core_values import NOW, a_job, a_standing
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.announcement import Topic, of_job, of_run, of_standing
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.job import RunId
from orchestrator.core.lifecycle import ENDS, State

FAILURE = Failure("job_failed", "the data is bad", "mend it", "req-1")
HELD = Hold("authentication_failed", "401", "correct the key")


@given(before=st.sampled_from(State), after=st.sampled_from(State))
def test_only_a_model_and_a_failure_are_news_and_only_once(before: State, after: State) -> None:
    told = of_job(a_job(after), before, NOW)
    topics = {State.SUCCEEDED: Topic.MODEL_READY, State.FAILED: Topic.JOB_FAILED}
    assert (told and told.topic) == (topics.get(after) if after is not before else None)


def test_an_announcement_says_everything_in_plain_values_and_no_request_id() -> None:
    told = of_job(a_job(State.FAILED, failure=FAILURE), State.RUNNING, NOW)
    assert told is not None
    assert told.payload() == {
        "type": "job.failed",
        "timestamp": "1970-01-12T13:46:40+00:00",
        "data": {
            "run": "fedcba9876543210",
            "account": "acme",
            "provider": "openai",
            "job": "0123456789abcdef",
            "state": "failed",
            "fine_tuned_model": None,
            "servable": None,
            "error": {"kind": "job_failed", "message": "the data is bad", "hint": "mend it"},
        },
    }
    assert {type(value) for value in told.payload()["data"].values()} <= {str, type(None), dict}


@pytest.mark.parametrize("before", [None, HELD])
@pytest.mark.parametrize("after", [None, HELD])
def test_only_a_new_hold_is_news(before: Hold | None, after: Hold | None) -> None:
    news = of_standing(a_standing(hold=before), a_standing(hold=after), NOW)
    assert (news is not None) == (before is None and after is not None)


@given(counts=st.dictionaries(st.sampled_from(sorted(ENDS)), st.integers(0, 99), min_size=1))
def test_a_finished_run_counts_what_is_missing(counts: dict[State, int]) -> None:
    told = of_run(RunId("r"), counts, NOW)
    missing = sum(counts.values()) - counts.get(State.SUCCEEDED, 0)
    assert (told.error is not None) == (missing > 0) == (told.state != State.SUCCEEDED)
    if told.error:
        assert told.error.message.startswith(f"{missing} of {sum(counts.values())} jobs")
