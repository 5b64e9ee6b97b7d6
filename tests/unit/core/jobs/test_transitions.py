from __future__ import annotations

from itertools import product

import pytest
from core_values import NOW, PERMANENT_HOLD, a_job

from orchestrator.core.account_state import AccountHeld
from orchestrator.core.errors import (
    Failure,
    IllegalTransition,
    ProviderError,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, TRANSITIONS, JobEvent, JobState
from orchestrator.core.jobs.timeline import HELD_NOTE
from orchestrator.core.jobs.transitions import (
    Outcome,
    advance,
    fail_job,
    hold_job,
    poll_again,
    rebase_on_cancel,
    release_job,
    renew_intent,
    request_adoption,
    request_cancel,
    retry_later,
    sleep_until,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import asdict, replace

FAILURE = Failure("rate_limited", "slow down", "wait", "req-9")
LEGAL = [(state, event) for state, row in TRANSITIONS.items() for event in row]
ILLEGAL = sorted(set(product(JobState, JobEvent)) - set(LEGAL))


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_advance_follows_the_table(state: JobState, event: JobEvent) -> None:
    before = a_job(state, version=7, attempts=3, failure=FAILURE, intent_until=NOW + 9)
    outcome = advance(before, event, now=NOW, request_id="req-1")
    after = outcome.job
    assert after.state is TRANSITIONS[state][event]
    assert (after.version, after.attempts, after.failure, after.state_since) == (8, 0, None, NOW)
    ended = after.state in TERMINAL_STATES
    assert (after.wake_at, after.finished_at) == ((None, NOW) if ended else (NOW, None))
    assert (outcome.previous_state, outcome.label, outcome.request_id) == (state, event, "req-1")


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_only_the_end_of_a_job_ends_its_hold(state: JobState, event: JobEvent) -> None:
    after = advance(a_job(state, hold=PERMANENT_HOLD), event, now=NOW).job
    assert after.hold == (None if after.state in TERMINAL_STATES else PERMANENT_HOLD)


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_advance_refuses_illegal_transitions(state: JobState, event: JobEvent) -> None:
    job = a_job(state)
    before = asdict(job)
    with pytest.raises(IllegalTransition):
        advance(job, event, now=NOW)
    assert asdict(job) == before


def test_advance_lets_changes_win() -> None:
    outcome = advance(a_job(), JobEvent.FAILED, now=NOW, failure=FAILURE, wake_at=NOW + 5)
    assert (outcome.job.failure, outcome.failure, outcome.job.wake_at) == (FAILURE, FAILURE, NOW + 5)


def test_the_old_job_is_untouched() -> None:
    job = a_job(JobState.READY)
    advance(job, JobEvent.SUBMIT_STARTED, now=NOW)
    assert job == a_job(JobState.READY)


@pytest.mark.parametrize(
    ("error", "intent_until"),
    [(UnknownOutcome("lost"), NOW + 30), (RequestRejected("400", request_id="req-2"), None)],
)
def test_failing_keeps_the_intent_of_a_call_that_may_still_arrive(
    error: ProviderError, intent_until: float | None
) -> None:
    outcome = fail_job(MADE, error, now=NOW)
    after = outcome.job
    assert (after.state, after.failure, after.wake_at) == (JobState.FAILED, Failure.from_error(error), None)
    assert (after.intent_until, outcome.request_id) == (intent_until, error.request_id)


def changed(outcome: Outcome) -> dict[str, object]:
    """What differs from the job that `made` starts with, besides the version, which always goes up by one."""
    before, after = asdict(MADE), asdict(outcome.job)
    assert after["version"] == before["version"] + 1
    return {name: after[name] for name in after if after[name] != before[name] and name != "version"}


MADE = a_job(JobState.SUBMITTING, version=4, attempts=2, failure=FAILURE, intent_until=NOW + 30, wake_at=NOW + 30)


def test_a_renewed_intent_is_the_wake_up_too() -> None:
    outcome = renew_intent(MADE, until=NOW + 60)
    assert changed(outcome) == {"intent_until": NOW + 60, "wake_at": NOW + 60}
    assert outcome.label is None


def test_waiting_clears_the_failure() -> None:
    outcome = poll_again(MADE, NOW + 5, remote_status="running")
    assert changed(outcome) == {"wake_at": NOW + 5, "attempts": 0, "failure": None, "remote_status": "running"}
    assert outcome.label is None


@pytest.mark.parametrize(
    ("counts", "sent", "attempts", "intent_until"),
    [
        (True, True, 3, NOW + 30),
        (True, False, 3, None),
        (False, False, 2, None),
        (False, True, 2, NOW + 30),
    ],
)
def test_failed_attempt_keeps_the_intent_only_if_it_was_possibly_sent(
    counts: bool, sent: bool, attempts: int, intent_until: float | None
) -> None:
    outcome = retry_later(MADE, FAILURE, until=NOW + 5, counts_as_attempt=counts, maybe_sent=sent)
    after = outcome.job
    assert (after.attempts, after.intent_until, after.wake_at) == (attempts, intent_until, NOW + 5)
    assert (after.failure, outcome.failure, outcome.request_id) == (FAILURE, FAILURE, "req-9")
    assert after.state is outcome.previous_state is MADE.state
    assert outcome.label


def test_parking_without_a_failure_writes_no_event() -> None:
    outcome = sleep_until(MADE, None)
    assert changed(outcome) == {"wake_at": None}
    assert outcome.label is None
    assert outcome.failure is None


def test_parking_with_a_failure_writes_an_event() -> None:
    other = replace(FAILURE, kind="authentication_failed")
    outcome = sleep_until(MADE, NOW + 1, failure=other)
    assert changed(outcome) == {"wake_at": NOW + 1, "failure": asdict(other)}
    assert outcome.label


@pytest.mark.parametrize("until", [None, NOW + 3600])
def test_a_hold_sleeps_until_its_time(until: float | None) -> None:
    reason = Hold("ambiguous", "two jobs", "choose", until)
    outcome = hold_job(MADE, reason, request_id="req-2")
    assert (outcome.job.hold, outcome.job.wake_at, outcome.job.version) == (reason, until, MADE.version + 1)
    assert (outcome.failure, outcome.request_id) == (Failure("ambiguous", "two jobs", "choose"), "req-2")


def test_release_makes_the_job_due_without_failures() -> None:
    outcome = release_job(replace(MADE, hold=PERMANENT_HOLD, wake_at=None), now=NOW)
    assert changed(outcome) == {"wake_at": NOW, "attempts": 0, "failure": None, "changed_at": NOW}
    assert outcome.job.hold is None


@pytest.mark.parametrize("state", sorted(set(JobState) - TERMINAL_STATES))
def test_cancel_request_changes_no_state(state: JobState) -> None:
    job = a_job(state)
    outcome = request_cancel(job, now=NOW)
    assert outcome.job == replace(job, version=job.version + 1, cancel_asked=True, wake_at=NOW)


def test_repeated_cancel_request_during_an_attempt_changes_nothing() -> None:
    requested = a_job(JobState.SUBMITTING, cancel_asked=True, intent_until=NOW + 1, wake_at=NOW)
    assert request_cancel(requested, now=NOW).job == requested
    later = request_cancel(requested, now=NOW + 1).job  # nothing can be under way: look again
    assert (later.version, later.wake_at) == (requested.version + 1, NOW + 1)


def test_selected_remote_job_is_checked_at_once() -> None:
    held = a_job(JobState.SUBMITTING, hold=PERMANENT_HOLD, failure=FAILURE, attempts=3, version=4)
    outcome = request_adoption(held, "ftjob-7", now=NOW)
    after = outcome.job
    assert (after.state, after.version, after.remote_job_id) == (JobState.SUBMITTING, 5, "ftjob-7")
    assert (after.hold, after.failure, after.attempts, after.wake_at) == (None, None, 0, NOW)
    assert outcome.label == "adoption asked"


def test_adoption_restarts_the_time_without_change() -> None:
    stalled = a_job(JobState.SUBMITTING, hold=PERMANENT_HOLD, changed_at=NOW - 9_000, warning=FAILURE)
    adopted = request_adoption(stalled, "ftjob-7", now=NOW).job
    assert (adopted.changed_at, adopted.warning) == (NOW, None)
    assert (release_job(stalled, now=NOW).job.changed_at, release_job(stalled, now=NOW).job.warning) == (NOW, None)


class TestDespiteCancel:
    """What an attempt has brought, on a job of which a cancel was asked while it was under way."""

    BEFORE = a_job(JobState.SUBMITTING, version=5, intent_until=NOW + 9)

    def test_the_outcome_is_kept_and_the_cancel_too(self) -> None:
        outcome = advance(self.BEFORE, JobEvent.REMOTE_CREATED, now=NOW, remote_job_id="ftjob-1", wake_at=NOW + 60)
        actual = request_cancel(self.BEFORE, now=NOW).job
        again = rebase_on_cancel(outcome, actual, now=NOW + 1)
        assert again is not None
        assert (again.label, again.previous_state) == (outcome.label, outcome.previous_state)
        expected = replace(outcome.job, version=7, cancel_asked=True, wake_at=NOW + 1)
        assert again.job == expected

    def test_final_state_stays_final(self) -> None:
        actual = request_cancel(self.BEFORE, now=NOW).job
        again = rebase_on_cancel(advance(self.BEFORE, JobEvent.FAILED, now=NOW), actual, now=NOW + 1)
        assert again is not None
        assert (again.job.state, again.job.wake_at) == (JobState.FAILED, None)

    def test_any_other_change_makes_the_outcome_stale(self) -> None:
        outcome = advance(self.BEFORE, JobEvent.REMOTE_CREATED, now=NOW)
        another = renew_intent(self.BEFORE, until=NOW + 99).job
        asked_before = replace(self.BEFORE, cancel_asked=True)
        requested = request_cancel(self.BEFORE, now=NOW).job
        for actual in (
            self.BEFORE,  # nothing happened at all
            another,
            request_cancel(another, now=NOW).job,
            renew_intent(requested, until=NOW + 99).job,
            request_cancel(requested, now=NOW + 10).job,
        ):
            assert rebase_on_cancel(outcome, actual, now=NOW) is None
        known = advance(asked_before, JobEvent.REMOTE_CREATED, now=NOW)
        assert rebase_on_cancel(known, renew_intent(asked_before, until=NOW + 99).job, now=NOW) is None


def test_recorded_outcome_holds_no_key_and_names_its_replica() -> None:
    key = "sk-proj-0123456789abcdef"
    redact = Redactor()
    redact.add(Secret(key))
    leak = replace(FAILURE, message=f"wrong key {key}", hint=f"adopt {key}")

    outcome = hold_job(
        replace(MADE, warning=leak, failure=leak), Hold("ambiguous", f"two {key}", f"adopt {key}", NOW)
    )
    safe = outcome.redacted(redact, replica="r-1")

    assert safe.failure is not None
    assert safe.job.failure is not None
    assert safe.job.warning is not None
    for failure in (safe.failure, safe.job.failure, safe.job.warning):
        for text in (failure.message, failure.hint):
            assert key not in text
            assert "[key " in text
    label = f"[key {Secret(key).fingerprint}]"
    assert safe.job.hold == Hold("ambiguous", f"two {label}", f"adopt {label}", NOW)
    assert (safe.job.replica, safe.job.version, safe.label) == ("r-1", outcome.job.version, outcome.label)


def test_recorded_hold_of_an_account_holds_no_key() -> None:
    key = "sk-proj-0123456789abcdef"
    redact = Redactor()
    redact.add(Secret(key))
    label = f"[key {Secret(key).fingerprint}]"
    update = AccountHeld(Hold("authentication_failed", f"wrong key {key}", f"replace {key}"))

    safe = replace(sleep_until(MADE, None), account_update=update).redacted(redact, replica="r-1")

    assert safe.account_update == AccountHeld(Hold("authentication_failed", f"wrong key {label}", f"replace {label}"))


def test_outcome_without_a_failure_stays_without_one() -> None:
    safe = poll_again(MADE, NOW).redacted(Redactor(), replica="r-1")
    assert (safe.failure, safe.job.failure, safe.job.warning, safe.job.replica) == (None, None, None, "r-1")


def test_holds_have_the_note_by_which_the_timeline_finds_them() -> None:
    assert hold_job(MADE, PERMANENT_HOLD).label == HELD_NOTE
    assert sleep_until(MADE, None, failure=FAILURE).label == HELD_NOTE
