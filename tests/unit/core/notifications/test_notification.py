from __future__ import annotations

from datetime import date, timedelta

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
    build_model_retirement_notification,
    build_run_finished_notification,
    build_test_payload,
    build_warning_notification,
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


def test_model_of_a_succeeded_job_is_announced_with_its_id() -> None:
    job = a_job(JobState.SUCCEEDED, fine_tuned_model="ft:m", servable=False)
    reported = build_job_notification(job, JobState.RUNNING, NOW)
    assert reported is not None
    data = reported.to_payload()["data"]
    assert (data["fine_tuned_model"], data["servable"], data["error"]) == ("ft:m", False, None)


def test_warning_of_an_open_job_is_announced_with_its_reason() -> None:
    payload = build_warning_notification(a_job(JobState.RUNNING, warning=FAILURE), NOW).to_payload()
    assert payload["type"] == "job.warning"
    assert payload["data"] == {
        "run": "fedcba9876543210",
        "account": "acme",
        "provider": "openai",
        "job": "0123456789abcdef",
        "state": "running",
        "fine_tuned_model": None,
        "servable": None,
        "error": {"kind": "job_failed", "message": "the data is bad", "hint": "mend it"},
    }


TODAY = date(1970, 1, 12)  # of NOW


@pytest.mark.parametrize(
    ("retires_on", "gone_at", "kind", "text"),
    [
        (TODAY + timedelta(days=5), None, "model_retiring", "is shut down on 1970-01-17, 5 days from now"),
        (TODAY + timedelta(days=1), None, "model_retiring", "is shut down on 1970-01-13, 1 day from now"),
        (TODAY, None, "model_retiring", "is shut down on 1970-01-12, today"),
        (TODAY - timedelta(days=3), None, "model_retiring", "was shut down on 1970-01-09, 3 days ago"),
        (TODAY + timedelta(days=5), NOW, "model_gone", "is no longer at the provider"),
        (None, NOW, "model_gone", "is no longer at the provider"),
    ],
)
def test_end_of_a_model_is_announced_with_its_date(
    retires_on: date | None, gone_at: float | None, kind: str, text: str
) -> None:
    job = a_job(JobState.SUCCEEDED, fine_tuned_model="ft:m", servable=True, retires_on=retires_on, gone_at=gone_at)
    reported = build_model_retirement_notification(job, NOW)
    assert reported.topic is Topic.MODEL_RETIRING
    assert reported.error is not None
    assert (reported.error.kind, reported.error.message) == (kind, f"the fine-tuned model ft:m {text}")
    assert "`orchestrator rerun fedcba9876543210 --provider NAME`" in reported.error.hint
    data = reported.to_payload()["data"]
    assert {name: data[name] for name in ("run", "account", "provider", "job", "state", "servable")} == {
        "run": "fedcba9876543210",
        "account": "acme",
        "provider": "openai",
        "job": "0123456789abcdef",
        "state": "succeeded",
        "servable": True,
    }
    assert data["fine_tuned_model"] == "ft:m"


def test_hold_of_an_account_is_announced_with_what_releases_it() -> None:
    held = build_account_held_notification(an_account_state(), an_account_state(hold=HELD), NOW)
    assert held is not None
    payload = held.to_payload()
    assert (payload["type"], payload["timestamp"]) == ("account.held", "1970-01-12T13:46:40+00:00")
    data = payload["data"]
    assert (data["account"], data["provider"], data["state"], data["job"]) == ("acme", "openai", "held", None)
    assert data["error"] == {"kind": "authentication_failed", "message": "401", "hint": "correct the key"}


def test_message_of_a_test_has_the_fields_of_every_other_message_and_a_type_of_its_own() -> None:
    payload = build_test_payload(NOW)
    other = build_job_notification(a_job(JobState.SUCCEEDED), JobState.RUNNING, NOW)
    assert other is not None
    assert payload["data"].keys() == other.to_payload()["data"].keys()
    assert payload["type"] == "notification.test"
    assert payload["type"] not in set(Topic)
    assert payload["data"]["error"]["kind"] == "test"


def test_finished_run_names_the_worst_end_and_counts_each_kind() -> None:
    ends = {JobState.SUCCEEDED: 5, JobState.FAILED: 2, JobState.CANCELLED: 1}
    reported = build_run_finished_notification(RunId("r"), ends, NOW)
    assert reported.error is not None
    assert (reported.topic, reported.run, reported.state) == (Topic.RUN_FINISHED, "r", "failed")
    assert (reported.error.kind, reported.error.message) == (
        "run_incomplete", "3 of 8 jobs have no model: 1 cancelled, 2 failed"
    )  # fmt: skip
    cancelled = build_run_finished_notification(RunId("r"), {JobState.SUCCEEDED: 5, JobState.CANCELLED: 1}, NOW)
    assert cancelled.state == "cancelled"
