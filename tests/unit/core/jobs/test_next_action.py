"""Every state, under every circumstance, against a table written independently of the code."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from core_values import NOW, PERMANENT_HOLD, a_job, a_run, an_account_state

from orchestrator.core.hold import ACCOUNT_REMOVED_HOLD, NOT_SELECTED_HOLD, SUPERSEDED_HOLD, Hold
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.next_action import (
    INTENT_GRACE_SECONDS,
    Action,
    CancelLocally,
    CancelRemoteJob,
    CheckFiles,
    Idle,
    JobContext,
    PollRemoteJob,
    ResolveRemoteJob,
    SubmitJob,
    UploadFiles,
    VerifyAccount,
    Wait,
    can_use_slot,
    is_submission_void,
    list_job_holds,
    next_action,
)

ALL_WELL = JobContext()
ACTIONS: dict[JobState, tuple[Action, Action]] = {
    JobState.PLANNED: (UploadFiles(), CancelLocally()),
    JobState.UPLOADING: (UploadFiles(), CancelLocally()),
    JobState.PROCESSING: (CheckFiles(), CancelLocally()),
    JobState.READY: (SubmitJob(), CancelLocally()),
    JobState.SUBMITTING: (SubmitJob(), ResolveRemoteJob()),
    JobState.QUEUED: (PollRemoteJob(), CancelRemoteJob()),
    JobState.RUNNING: (PollRemoteJob(), CancelRemoteJob()),
    JobState.CANCELLING: (CancelRemoteJob(), CancelRemoteJob()),
    JobState.SUCCEEDED: (Idle(), Idle()),
    JobState.CANCELLED: (Idle(), Idle()),
    JobState.FAILED: (Idle(), Idle()),
}
"""What a state needs when all is well, and what it needs when a cancel was asked."""

HOLDS: dict[str, tuple[Hold, ...]] = {
    "none": (),
    "over": (Hold("quota", "r", "h", NOW),),
    "timed": (Hold("quota", "r", "h", NOW + 0.1),),
    "for ever": (PERMANENT_HOLD,),
    "one of two": (Hold("quota", "r", "h", NOW - 1), PERMANENT_HOLD),
}
SITUATIONS = list(product(JobState, [False, True], HOLDS, [False, True], [False, True], [False, True], [False, True]))


def expected(
    state: JobState, cancel: bool, held: bool, under_way: bool, verified: bool, started: bool, slot: bool
) -> Action:
    """The rules in words: an intent first, then a cancel, then a hold, then start and slot, then verification."""
    if under_way and state in {JobState.PLANNED, JobState.UPLOADING, JobState.SUBMITTING}:
        return Wait(NOW + 10 + INTENT_GRACE_SECONDS)
    go_on, wind_down = ACTIONS[state]
    if held and not cancel:
        return Idle()
    if state is JobState.READY and not (started and slot) and not cancel:
        return Idle()
    action = wind_down if cancel else go_on
    return action if verified or action in {Idle(), CancelLocally()} else VerifyAccount()


@pytest.mark.parametrize("state", JobState)
def test_every_situation_has_its_expected_action(state: JobState) -> None:
    for _, cancel, holds, under_way, verified, started, slot in [s for s in SITUATIONS if s[0] is state]:
        job = a_job(state, cancel_asked=cancel, intent_until=NOW + 10 if under_way else None)
        around = JobContext(account_verified=verified, run_started=started, has_free_slot=slot, holds=HOLDS[holds])
        held = holds in {"timed", "for ever", "one of two"}
        assert next_action(job, around, NOW) == expected(state, cancel, held, under_way, verified, started, slot), (
            f"{state=!s} {cancel=} {holds=} {under_way=} {verified=} {started=} {slot=}"
        )


@pytest.mark.parametrize("state", [JobState.PLANNED, JobState.UPLOADING, JobState.SUBMITTING])
@pytest.mark.parametrize("cancel", [False, True])
def test_intent_lasts_until_its_deadline_and_grace_period(state: JobState, cancel: bool) -> None:
    job = a_job(state, intent_until=NOW, cancel_asked=cancel)
    assert next_action(job, ALL_WELL, NOW + INTENT_GRACE_SECONDS - 0.001) == Wait(NOW + INTENT_GRACE_SECONDS)
    assert next_action(job, ALL_WELL, NOW + INTENT_GRACE_SECONDS) == ACTIONS[state][cancel]


@pytest.mark.parametrize("cancel", [False, True])
def test_selected_remote_job_is_checked_and_nothing_is_created(cancel: bool) -> None:
    chosen = a_job(JobState.SUBMITTING, remote_job_id="ftjob-1", cancel_asked=cancel)
    assert next_action(chosen, ALL_WELL, NOW) == ResolveRemoteJob()


@pytest.mark.parametrize(
    ("run_changes", "submitted_at", "is_void"),
    [
        ({}, NOW, False),
        ({}, None, False),
        ({}, NOW - 32 * 86_400, True),  # in another month
        ({"current": False}, NOW, True),
        ({"hold": PERMANENT_HOLD}, NOW, True),
        ({"hold": Hold("quota", "r", "h", NOW)}, NOW, False),
    ],
)
def test_submission_that_is_void_is_not_repeated(
    run_changes: dict[str, Any], submitted_at: float | None, *, is_void: bool
) -> None:
    job = a_job(JobState.SUBMITTING, submitted_at=submitted_at)
    assert is_submission_void(job, a_run(**run_changes), NOW) is is_void
    expected = ResolveRemoteJob() if is_void else SubmitJob()
    assert next_action(job, JobContext(is_submission_void=is_void), NOW) == expected


def test_job_that_was_deselected_while_it_was_submitted_is_looked_up() -> None:
    job = a_job(JobState.SUBMITTING, submitted_at=NOW, hold=NOT_SELECTED_HOLD)
    assert is_submission_void(job, a_run(), NOW)
    holds = list_job_holds(job, a_run(), an_account_state())
    assert next_action(job, JobContext(is_submission_void=True, holds=holds), NOW) == ResolveRemoteJob()
    of_account = list_job_holds(job, a_run(), an_account_state(hold=PERMANENT_HOLD))
    assert next_action(job, JobContext(is_submission_void=True, holds=of_account), NOW) == Idle()
    ready = a_job(JobState.READY, hold=NOT_SELECTED_HOLD)
    holds = list_job_holds(ready, a_run(), an_account_state())
    assert next_action(ready, JobContext(holds=holds), NOW) == Idle()


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_final_state_needs_no_action(state: JobState) -> None:
    assert next_action(a_job(state, cancel_asked=True, intent_until=NOW + 9), ALL_WELL, NOW) == Idle()


@pytest.mark.parametrize("state", JobState)
def test_holds_suspend_a_job(state: JobState) -> None:
    own, of_account, of_run = (Hold(kind, "r", "h") for kind in ("own", "account", "run"))
    job, account_state = a_job(state, hold=own), an_account_state(hold=of_account, removed_at=NOW)
    kinds = [hold.kind for hold in list_job_holds(job, a_run(hold=of_run, current=False), account_state)]
    unsent = ["run", SUPERSEDED_HOLD.kind] if state in UNSUBMITTED_STATES else []
    assert kinds == ["own", "account", ACCOUNT_REMOVED_HOLD.kind, *unsent]


@pytest.mark.parametrize("state", JobState)
def test_job_without_holds_is_not_suspended(state: JobState) -> None:
    assert list_job_holds(a_job(state), a_run(), an_account_state()) == ()


@pytest.mark.parametrize(
    ("changes", "run_changes", "uses_slot"),
    [
        ({}, {}, True),
        ({"wake_at": NOW + 60}, {}, True),  # it sleeps because the slot is taken
        ({"attempts": 1, "wake_at": NOW + 60}, {}, False),
        ({"attempts": 1, "wake_at": NOW}, {}, True),
        ({"attempts": 1, "wake_at": None}, {}, True),
        ({"cancel_asked": True}, {}, False),
        ({"hold": PERMANENT_HOLD}, {}, False),
        ({"hold": Hold("x", "y", "z", until=NOW)}, {}, True),
        ({"state": JobState.PROCESSING}, {}, False),
        ({}, {"started_at": None}, False),
        ({}, {"current": False}, False),
        ({}, {"hold": PERMANENT_HOLD}, False),
    ],
)
def test_only_a_job_that_would_be_submitted_now_keeps_a_slot_from_later_runs(
    changes: dict[str, Any], run_changes: dict[str, Any], *, uses_slot: bool
) -> None:
    job = a_job(**({"state": JobState.READY} | changes))
    assert can_use_slot(job, a_run(**({"started_at": NOW} | run_changes)), NOW) is uses_slot
