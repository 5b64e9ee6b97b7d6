from __future__ import annotations

import pytest
from core_values import NOW, a_job, an_account_state
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.notifications.notification import (
    Topic,
    build_account_held_notification,
    build_job_notification,
    build_run_finished_notification,
)

FAILURE = Failure("job_failed", "the data is bad", "mend it", "req-1")
HELD = Hold("authentication_failed", "401", "correct the key")


@given(before=st.sampled_from(JobState), after=st.sampled_from(JobState))
def test_only_models_and_failures_are_announced_once(before: JobState, after: JobState) -> None:
    reported = build_job_notification(a_job(after), before, NOW)
    topics = {JobState.SUCCEEDED: Topic.MODEL_READY, JobState.FAILED: Topic.JOB_FAILED}
    assert (reported and reported.topic) == (topics.get(after) if after is not before else None)


def test_announcement_has_plain_values_without_a_request_id() -> None:
    reported = build_job_notification(a_job(JobState.FAILED, failure=FAILURE), JobState.RUNNING, NOW)
    assert reported is not None
    assert reported.to_payload() == {
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
    assert {type(value) for value in reported.to_payload()["data"].values()} <= {str, type(None), dict}


@pytest.mark.parametrize("before", [None, HELD])
@pytest.mark.parametrize("after", [None, HELD])
def test_only_a_new_hold_is_announced(before: Hold | None, after: Hold | None) -> None:
    news = build_account_held_notification(an_account_state(hold=before), an_account_state(hold=after), NOW)
    assert (news is not None) == (before is None and after is not None)


@given(counts=st.dictionaries(st.sampled_from(sorted(TERMINAL_STATES)), st.integers(0, 99), min_size=1))
def test_a_finished_run_counts_what_is_missing(counts: dict[JobState, int]) -> None:
    reported = build_run_finished_notification(RunId("r"), counts, NOW)
    missing = sum(counts.values()) - counts.get(JobState.SUCCEEDED, 0)
    assert (reported.error is not None) == (missing > 0) == (reported.state != JobState.SUCCEEDED)
    if reported.error:
        assert reported.error.message.startswith(f"{missing} of {sum(counts.values())} jobs")
