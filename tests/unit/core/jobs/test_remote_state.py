from __future__ import annotations

from itertools import product

import pytest
from core_values import NOW, a_job, a_remote_job

from orchestrator.core.errors import AmbiguousRemoteJob, Failure
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.operator_action import OperatorAction, is_applicable
from orchestrator.core.jobs.remote_state import (
    FILE_REJECTED_HINT,
    FILE_STATUS_TIMEOUT_SECONDS,
    MODEL_ID_TIMEOUT_SECONDS,
    SLOW_FILE_SECONDS,
    check_created,
    confirm_adoption,
    fail_missing_job,
    find_size_difference,
    is_remote_job_finished,
    link_remote_job,
    observe_files,
    observe_job,
    observe_upload,
    select_remote_job,
    sum_created_usd,
)
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJobStatus
from orchestrator.core.structs import replace

FOLLOWED = [JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING]
READY, PROCESSING, REFUSED, GONE = (
    RemoteFileStatus.READY,
    RemoteFileStatus.PROCESSING,
    RemoteFileStatus.REFUSED,
    RemoteFileStatus.GONE,
)
UPLOADED = RemoteFileStatus.UPLOADED


def a_file(status: RemoteFileStatus, message: str | None = None) -> RemoteFile:
    return RemoteFile(id=f"file-{status}", status=status, raw_status=f"raw {status}", message=message)


@pytest.mark.parametrize(
    ("statuses", "after"),
    [
        ([READY], JobState.READY),
        ([PROCESSING], JobState.PROCESSING),
        ([REFUSED], JobState.FAILED),
        ([GONE], JobState.FAILED),
        ([READY, READY], JobState.READY),
        ([READY, PROCESSING], JobState.PROCESSING),
        ([PROCESSING, READY], JobState.PROCESSING),
        ([READY, REFUSED], JobState.FAILED),
        ([PROCESSING, GONE], JobState.FAILED),
        ([UPLOADED], JobState.PROCESSING),
        ([READY, UPLOADED], JobState.PROCESSING),
    ],
)
def test_file_status_leads_to_the_expected_state(statuses: list[RemoteFileStatus], after: JobState) -> None:
    files = [a_file(status) for status in statuses]
    outcome = observe_files(a_job(JobState.PROCESSING), files, now=NOW, delay=5)
    assert outcome.job.state is after
    if after is JobState.PROCESSING:
        assert (outcome.job.wake_at, outcome.label) == (NOW + 5, None)


def test_every_file_status_is_covered() -> None:
    assert {READY, PROCESSING, UPLOADED, REFUSED, GONE} == set(RemoteFileStatus)


@pytest.mark.parametrize(("raw", "reported"), [("uploaded", "only the status 'uploaded'"), ("", "no status")])
def test_a_file_that_stays_uploaded_or_has_no_status_is_tried_after_some_minutes(raw: str, reported: str) -> None:
    file = RemoteFile(id="file-1", status=UPLOADED, raw_status=raw)
    job = a_job(JobState.PROCESSING, state_since=NOW - FILE_STATUS_TIMEOUT_SECONDS + 1)
    assert observe_files(job, [file], now=NOW, delay=5).job.state is JobState.PROCESSING
    outcome = observe_files(job, [file], now=NOW + 1, delay=5)
    assert (outcome.job.state, outcome.label) == (JobState.READY, "file assumed ready")
    assert outcome.failure is not None
    assert outcome.failure.message == (
        f"for 10 min the provider has reported {reported} for file file-1: "
        "the job is created as if the file was ready"
    )
    assert outcome.job.failure is None  # it is no error of the job


def test_file_being_validated_is_awaited_and_reported() -> None:
    file = RemoteFile(id="file-1", status=PROCESSING, raw_status="pending")
    job = a_job(JobState.PROCESSING, state_since=NOW - SLOW_FILE_SECONDS)
    assert observe_files(job, [file], now=NOW - 1, delay=5).warning_candidate is None
    outcome = observe_files(job, [file, a_file(UPLOADED)], now=NOW, delay=5)
    assert (outcome.job.state, outcome.job.wake_at) == (JobState.PROCESSING, NOW + 5)
    assert outcome.warning_candidate is not None
    assert outcome.warning_candidate.message == "the provider has reported file file-1 as 'pending' for 30 min"


@pytest.mark.parametrize(
    ("told", "difference"),
    [
        (None, None),
        (1003, None),
        (1000, None),  # without the byte-order mark that was sent
        (999, "the provider reports 999 bytes for file file-1; 1,003 were sent"),
        (0, "the provider reports 0 bytes for file file-1; 1,003 were sent"),
    ],
)
def test_reported_file_size_is_compared_with_the_sent_size(told: int | None, difference: str | None) -> None:
    file = RemoteFile(id="file-1", status=READY, raw_status="processed", bytes=told)
    assert find_size_difference(file, (1003, 1000)) == difference


@pytest.mark.parametrize("status", [UPLOADED, PROCESSING])
def test_a_size_of_zero_means_that_the_provider_has_not_counted_yet(status: RemoteFileStatus) -> None:
    file = RemoteFile(id="file-1", status=status, raw_status="pending", bytes=0)
    assert find_size_difference(file, (1003, 1000)) is None
    assert find_size_difference(replace(file, bytes=999), (1003, 1000)) is not None


def test_an_upload_of_another_size_is_held_until_a_person_releases_it() -> None:
    file = a_file(READY)
    outcome = observe_upload(a_job(JobState.UPLOADING), [file], ["the provider reports …"], now=NOW, delay=5)
    held = outcome.job
    assert (held.state, held.remote_file_id, held.wake_at) == (JobState.PROCESSING, file.id, None)
    assert held.hold is not None
    assert (held.hold.kind, held.hold.reason) == ("upload_differs", "the provider reports …")
    assert outcome.failure == held.hold.failure  # for the history and the log
    assert is_applicable(OperatorAction.RELEASE, held.state, held=True, error_kind=held.hold.kind)
    fine = observe_upload(a_job(JobState.UPLOADING), [file, a_file(PROCESSING)], [], now=NOW, delay=5).job
    assert (fine.hold, fine.remote_validation_file_id, fine.wake_at) == (None, "file-processing", NOW + 5)


@pytest.mark.parametrize(
    ("message", "expected_text"), [("line 3 is bad", "line 3 is bad"), (None, "no reason given")]
)
def test_refused_file_shows_the_reason(message: str | None, expected_text: str) -> None:
    failure = observe_files(a_job(JobState.PROCESSING), [a_file(REFUSED, message)], now=NOW, delay=5).failure
    assert failure is not None
    assert failure.kind == "file_refused"
    assert failure.message == f"the provider reports file file-refused as raw refused: {expected_text}"
    assert failure.hint == FILE_REJECTED_HINT


def after_status(state: JobState, status: RemoteJobStatus) -> JobState:
    ends = {
        RemoteJobStatus.SUCCEEDED: JobState.SUCCEEDED,
        RemoteJobStatus.FAILED: JobState.FAILED,
        RemoteJobStatus.CANCELLED: JobState.CANCELLED,
        RemoteJobStatus.STOPPED: JobState.FAILED,
    }
    started = state is JobState.QUEUED and status is RemoteJobStatus.RUNNING
    return JobState.RUNNING if started else ends.get(status, state)


@pytest.mark.parametrize(("state", "status"), list(product(FOLLOWED, RemoteJobStatus)))
def test_every_status_in_every_followed_state(state: JobState, status: RemoteJobStatus) -> None:
    model = "ft:x" if status is RemoteJobStatus.SUCCEEDED else None
    remote = a_remote_job(
        status, fine_tuned_model=model, trained_tokens=7, estimated_finish=NOW + 60, hyperparameters={"n_epochs": 3}
    )
    after = observe_job(a_job(state), remote, now=NOW, delay=5).job
    assert after.state is after_status(state, status)
    assert after.wake_at == (None if after.state in TERMINAL_STATES else NOW + 5)
    assert after.fine_tuned_model == model
    assert (after.remote_status, after.trained_tokens, after.estimated_finish) == (remote.raw_status, 7, NOW + 60)
    assert after.hyperparameters == {"n_epochs": 3}
    assert (after.failure is not None) == (status in {RemoteJobStatus.FAILED, RemoteJobStatus.STOPPED})


def test_unknown_status_is_shown_unchanged() -> None:
    remote = a_remote_job(RemoteJobStatus.UNKNOWN, raw_status="reticulating")
    outcome = observe_job(a_job(JobState.RUNNING), remote, now=NOW, delay=5)
    assert (outcome.job.state, outcome.job.remote_status) == (JobState.RUNNING, "reticulating")
    assert outcome.warning_candidate is not None
    assert (outcome.warning_candidate.kind, "ftjob-1 as 'reticulating'" in outcome.warning_candidate.message) == (
        "status_unknown",
        True,
    )


@pytest.mark.parametrize(
    "status",
    sorted(set(RemoteJobStatus) - {RemoteJobStatus.FAILED, RemoteJobStatus.STOPPED, RemoteJobStatus.SUCCEEDED}),
)
def test_a_healthy_job_with_an_error_of_nulls_has_no_failure(status: RemoteJobStatus) -> None:
    remote = a_remote_job(status, error_code=None, error_message=None)
    assert observe_job(a_job(JobState.RUNNING), remote, now=NOW, delay=5).failure is None


@pytest.mark.parametrize("state", FOLLOWED)
def test_stopped_job_is_cancelled_only_after_a_requested_cancel(state: JobState) -> None:
    stopped = a_remote_job(RemoteJobStatus.STOPPED)
    assert observe_job(a_job(state, cancel_asked=True), stopped, now=NOW, delay=5).job.state is JobState.CANCELLED
    after = observe_job(a_job(state), stopped, now=NOW, delay=5).job
    assert (after.state, after.failure and after.failure.message) == (
        JobState.FAILED,
        "the provider stopped it (stopped) without a cancel from here",
    )


@pytest.mark.parametrize(
    ("code", "message", "expected_text"),
    [
        ("invalid_training_file", "too short", "invalid_training_file: too short"),
        (None, "too short", "too short"),
        ("invalid_training_file", None, "invalid_training_file: the provider gives no reason"),
        (None, None, "the provider gives no reason"),
    ],
)
def test_failed_job_shows_the_reason(code: str | None, message: str | None, expected_text: str) -> None:
    remote = a_remote_job(RemoteJobStatus.FAILED, error_code=code, error_message=message)
    failure = observe_job(a_job(JobState.RUNNING), remote, now=NOW, delay=5).job.failure
    assert failure is not None
    assert (failure.kind, failure.message, failure.request_id) == ("job_failed", expected_text, "req-1")
    assert "orchestrator retry" in failure.hint


@pytest.mark.parametrize("state", FOLLOWED)
def test_a_missing_model_id_is_waited_for_from_the_moment_of_success(state: JobState) -> None:
    remote = a_remote_job(RemoteJobStatus.SUCCEEDED)
    old = a_job(state, state_since=NOW - 10 * MODEL_ID_TIMEOUT_SECONDS, remote_status="running")
    first = observe_job(old, remote, now=NOW, delay=5).job
    assert (first.state, first.wake_at, first.remote_status) == (state, NOW + 5, "succeeded")
    late = NOW + MODEL_ID_TIMEOUT_SECONDS
    again = observe_job(first, remote, now=late - 0.1, delay=5).job
    assert (again.state, again.wake_at) == (state, late - 0.1 + 5)
    failed = observe_job(again, remote, now=late, delay=5).job
    assert failed.state is JobState.FAILED
    assert failed.failure is not None
    assert failed.failure.kind == "model_id_missing"


def test_a_model_id_that_comes_late_is_taken() -> None:
    waiting = observe_job(a_job(JobState.RUNNING), a_remote_job(RemoteJobStatus.SUCCEEDED), now=NOW, delay=5).job
    named = a_remote_job(RemoteJobStatus.SUCCEEDED, fine_tuned_model="ft:late")
    after = observe_job(waiting, named, now=NOW + 5, delay=5).job
    assert (after.state, after.fine_tuned_model) == (JobState.SUCCEEDED, "ft:late")


def test_created_job_is_recorded_and_ends_the_intent() -> None:
    job = a_job(JobState.SUBMITTING, intent_until=NOW + 30, attempts=2)
    outcome = link_remote_job(
        job, a_remote_job(RemoteJobStatus.PENDING, raw_status="validating_files"), now=NOW, delay=5
    )
    after = outcome.job
    assert (after.state, after.remote_job_id, after.remote_status) == (JobState.QUEUED, "ftjob-1", "validating_files")
    assert (after.intent_until, after.attempts, after.wake_at) == (None, 0, NOW + 5)
    assert outcome.request_id == "req-1"


@pytest.mark.parametrize("state", FOLLOWED)
def test_a_vanished_job_is_a_failure_with_its_last_known_state(state: JobState) -> None:
    job = a_job(state, remote_job_id="ftjob-1", remote_status="running")
    after = fail_missing_job(job, now=NOW).job
    assert after.state is JobState.FAILED
    assert after.failure is not None
    assert after.failure.kind == "remote_missing"
    assert after.failure.message == "the provider no longer has job ftjob-1; its last status was running"
    assert "`orchestrator retry` searches for it by its tag and continues with it" in after.failure.hint


@pytest.mark.parametrize(
    ("remote_job_id", "kind", "over"),
    [
        ("ftjob-1", "job_failed", True),
        ("ftjob-1", "model_id_missing", True),
        ("ftjob-1", "remote_missing", False),
        (None, "request_rejected", False),
        (None, "job_name_taken", True),
    ],
)
def test_only_an_observed_end_or_a_taken_name_needs_another_remote_job(
    remote_job_id: str | None, kind: str, over: bool
) -> None:
    job = a_job(JobState.FAILED, remote_job_id=remote_job_id, failure=Failure(kind, "message", "hint"))
    assert is_remote_job_finished(job) is over


def test_choose_selects_the_job_with_the_uploaded_file() -> None:
    job = a_job(JobState.SUBMITTING, remote_file_id="file-1", round=2)
    ours = a_remote_job(RemoteJobStatus.PENDING)
    assert select_remote_job(job, []) is None
    assert select_remote_job(job, [ours]) is ours


def test_choose_reports_two_candidates_as_ambiguous() -> None:
    job = a_job(JobState.SUBMITTING, remote_file_id="file-1", round=2)
    two = [a_remote_job(RemoteJobStatus.PENDING, id=name) for name in ("ftjob-1", "ftjob-2")]
    with pytest.raises(AmbiguousRemoteJob) as raised:
        select_remote_job(job, two)
    expected_text = "2 remote jobs carry the tag 0123456789abcdef.2: ftjob-1 (pending), ftjob-2 (pending)"
    assert raised.value.message == expected_text
    for name in ("ftjob-1", "ftjob-2"):
        assert f"`orchestrator adopt {job.id} {name}`" in raised.value.hint
    assert "cost money until you cancel them" in raised.value.hint


def test_choose_reports_another_dataset_as_ambiguous() -> None:
    job = a_job(JobState.SUBMITTING, remote_file_id="file-2")
    with pytest.raises(AmbiguousRemoteJob, match=r"ftjob-1 .* trained on file file-1, not file-2") as raised:
        select_remote_job(job, [a_remote_job(RemoteJobStatus.PENDING)])
    assert f"`orchestrator adopt {job.id} ftjob-1`" in raised.value.hint


@pytest.mark.parametrize(
    ("remote", "tagged", "why"),
    [
        ({}, [], None),
        ({"base_model": "gpt-4.1-mini"}, [], None),
        ({"training_file": "file-9"}, ["ftjob-1"], None),
        ({"base_model": ""}, [], None),
        ({"base_model": "gpt-4.1-2025-04-14"}, ["ftjob-1"], "trains gpt-4.1-2025-04-14, not gpt-4.1-mini-2025-04-14"),
        ({"training_file": "file-9"}, ["ftjob-2"], "was trained on file file-9, not file-1"),
    ],
)
def test_selected_job_is_adopted_only_if_it_matches(
    remote: dict[str, str], tagged: list[str], why: str | None
) -> None:
    job = a_job(JobState.SUBMITTING, remote_file_id="file-1", remote_job_id="ftjob-1")
    after = confirm_adoption(job, a_remote_job(RemoteJobStatus.RUNNING, **remote), tagged, now=NOW).job
    if why is None:
        assert (after.state, after.remote_job_id, after.wake_at) == (JobState.QUEUED, "ftjob-1", NOW)
        return
    assert after.hold is not None
    assert (after.state, after.remote_job_id, after.wake_at) == (JobState.SUBMITTING, None, None)
    assert after.hold.kind == "ambiguous"
    assert why in after.hold.reason
    assert f"`orchestrator adopt {job.id} REMOTE_ID`" in after.hold.hint


@pytest.mark.parametrize("training_file", ["file-1", ""])
def test_created_job_with_the_sent_file_or_none_is_accepted(training_file: str) -> None:
    job = a_job(JobState.SUBMITTING, remote_file_id="file-1")
    remote = a_remote_job(RemoteJobStatus.PENDING, training_file=training_file)
    assert check_created(job, remote) is remote


def test_created_job_with_another_file_is_left_to_the_operator() -> None:
    job = a_job(JobState.SUBMITTING, remote_file_id="file-2")
    with pytest.raises(AmbiguousRemoteJob, match=r"sent for file file-2, .* ftjob-1 .* with file file-1") as raised:
        check_created(job, a_remote_job(RemoteJobStatus.PENDING))
    assert raised.value.create_sent is True
    assert f"`orchestrator adopt {job.id} ftjob-1`" in raised.value.hint
    assert "`orchestrator release acme`" in raised.value.hint


def test_everything_that_the_provider_reports_of_a_running_job_is_kept() -> None:
    reported = {
        "servable": False,
        "trained_tokens": 7,
        "estimated_finish": NOW + 60,
        "progress": 0.25,
        "quoted_usd": 1.5,
        "hyperparameters": {"n_epochs": 3},
    }
    remote = a_remote_job(RemoteJobStatus.RUNNING, raw_status="in progress", **reported)
    job = observe_job(a_job(JobState.RUNNING, remote_job_id="ftjob-1"), remote, now=NOW, delay=5).job
    assert {name: getattr(job, name) for name in reported} == reported
    assert job.remote_status == "in progress"


def test_remote_job_of_a_failure_without_a_reason_counts_as_finished() -> None:
    assert is_remote_job_finished(a_job(JobState.FAILED, remote_job_id="ftjob-1", failure=None))
    assert not is_remote_job_finished(a_job(JobState.FAILED, remote_job_id=None, failure=None))


@pytest.mark.parametrize(
    ("remote_job_id", "earlier", "latest", "total"),
    [
        ("ftjob-1", None, 2.0, 2.0),
        ("ftjob-1", 3.0, 2.0, 5.0),
        ("ftjob-1", 3.0, None, 3.0),
        (None, 3.0, 2.0, 3.0),
        (None, None, 2.0, None),
        ("ftjob-1", None, 0.0, 0.0),
    ],
)
def test_price_of_a_job_counts_every_remote_job_that_was_created(
    remote_job_id: str | None, earlier: float | None, latest: float | None, total: float | None
) -> None:
    job = a_job(JobState.RUNNING, remote_job_id=remote_job_id, earlier_usd=earlier, estimated_usd=latest)
    assert sum_created_usd(job) == total
