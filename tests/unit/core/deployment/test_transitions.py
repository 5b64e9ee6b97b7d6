from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW, PERMANENT_HOLD
from deployment_values import KEEP_SECONDS, a_deployment, a_remote_deployment

from orchestrator.core.deployment.deployment import (
    Deployment,
    StopReason,
    deployment_id,
    format_deployment_name,
)
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, DeploymentState
from orchestrator.core.deployment.transitions import (
    ABSENCE_CONFIRMATION_SECONDS,
    describe_remote,
    extend_expiry,
    hold_deployment,
    poll_deployment_again,
    rebase_on_stop,
    record_answer,
    record_created,
    record_missing,
    record_reappearance,
    record_refusal,
    record_removal_progress,
    refuse_deployment,
    release_deployment,
    request_again,
    request_stop,
    retry_deployment_later,
    sleep_deployment_until,
    start_create,
    start_stop,
    withdraw_deployment,
)
from orchestrator.core.errors import Failure, IllegalTransition
from orchestrator.core.jobs.job import JobId
from orchestrator.core.structs import replace

FAILURE = Failure("deployment_failed", "no capacity", "h")


def test_identity_depends_on_job_round_and_checkpoint_only() -> None:
    ids = [
        deployment_id(JobId("a"), 0),
        deployment_id(JobId("a"), 1),
        deployment_id(JobId("b"), 0),
        deployment_id(JobId("a"), 0, "ckpt"),
    ]
    assert len(set(ids)) == 4
    assert ids[0] == "fb44f63c5f9cbba9"  # stored and sent to providers: it must not change


def test_name_is_short_and_plain_enough_for_every_provider() -> None:
    tag = a_deployment(round=3).tag
    assert format_deployment_name(tag) == "orch-00112233445566aa-3"
    short = format_deployment_name(tag, max_length=8)
    assert len(short) == 8
    assert short != format_deployment_name(a_deployment(round=4).tag, max_length=8)


@pytest.mark.parametrize("state", sorted(MAY_EXIST_STATES))
def test_nothing_may_exist_without_an_expiry(state: DeploymentState) -> None:
    with pytest.raises(IllegalTransition, match="expires"):
        a_deployment(state, expires_at=None)


def test_expiry_is_written_with_the_first_intent_and_not_moved_by_the_next() -> None:
    first = start_create(a_deployment(), now=NOW, intent_until=NOW + 30).deployment
    assert (first.state, first.expires_at, first.intent_until) == ("creating", NOW + KEEP_SECONDS, NOW + 30)
    second = start_create(first, now=NOW + 40, intent_until=NOW + 70).deployment
    assert (second.expires_at, second.create_started_at, second.intent_until) == (first.expires_at, NOW, NOW + 70)
    assert second.version == first.version + 1


def test_option_that_the_provider_has_not_kept_is_recorded_once() -> None:
    """Without the idle stop the deployment is billed until its expiry: the operator has to be told."""
    creating = start_create(a_deployment(DeploymentState.WANTED), now=NOW, intent_until=NOW + 60).deployment
    created = record_created(creating, a_remote_deployment(warning="no idle stop"), now=NOW)
    assert created.failure is not None
    assert (created.failure.kind, created.failure.message) == ("deployment_option_not_kept", "no idle stop")
    assert created.deployment.state is DeploymentState.STARTING
    assert poll_deployment_again(created.deployment, NOW + 60).deployment.failure is None
    assert record_created(creating, a_remote_deployment(), now=NOW).failure is None


def test_expiry_counts_from_an_earlier_create_and_from_the_end_that_the_provider_states() -> None:
    creating = start_create(a_deployment(), now=NOW, intent_until=NOW + 30).deployment
    times_of_remote: list[dict[str, Any]] = [
        {},
        {"created_at": NOW - 600},
        {"created_at": NOW + 600},
        {"expires_at": NOW + 60},
    ]
    expiries = [
        record_created(creating, a_remote_deployment(**times), now=NOW + 1).deployment.expires_at
        for times in times_of_remote
    ]
    assert expiries == [NOW + KEEP_SECONDS, NOW + KEEP_SECONDS - 600, NOW + KEEP_SECONDS, NOW + 60]


def versions_that_may_forget_it(deployment: Deployment) -> list[Deployment]:
    late = NOW + 100 * KEEP_SECONDS
    remote = a_remote_deployment()
    outcomes = [
        hold_deployment(deployment, PERMANENT_HOLD),
        hold_deployment(deployment, replace(PERMANENT_HOLD, until=late)),
        sleep_deployment_until(deployment, None),
        poll_deployment_again(deployment, late),
        retry_deployment_later(deployment, FAILURE, until=late, maybe_sent=True),
        record_refusal(deployment, FAILURE, now=NOW, wake_at=late),
    ]
    if deployment.state is DeploymentState.CREATING:
        outcomes += [
            record_created(deployment, remote, now=NOW),
            start_create(deployment, now=NOW, intent_until=late),
        ]
    else:
        outcomes.append(record_answer(deployment, now=NOW, wake_at=late))
    return [outcome.deployment for outcome in outcomes]


@pytest.mark.parametrize("state", sorted(MAY_EXIST_STATES - {DeploymentState.STOPPING}))
def test_no_wake_up_is_later_than_the_expiry(state: DeploymentState) -> None:
    for after in versions_that_may_forget_it(a_deployment(state)):
        assert after.wake_at is not None
        assert after.expires_at is not None
        assert after.wake_at <= max(after.expires_at, (after.intent_until or 0) + 1.5)


def test_absence_needs_two_look_ups() -> None:
    stopping = start_stop(a_deployment(DeploymentState.READY), StopReason.EXPIRED, now=NOW).deployment
    once = record_missing(stopping, now=NOW).deployment
    again = record_missing(once, now=NOW + ABSENCE_CONFIRMATION_SECONDS - 1).deployment
    assert [once.state, again.state] == ["stopping", "stopping"]
    assert again.wake_at == NOW + ABSENCE_CONFIRMATION_SECONDS
    confirmed = record_missing(again, now=NOW + ABSENCE_CONFIRMATION_SECONDS).deployment
    assert (confirmed.state, confirmed.wake_at, confirmed.ended_at) == ("stopped", None, NOW + 60)


def test_deployment_that_the_provider_removed_is_gone_and_says_so() -> None:
    ready = a_deployment(DeploymentState.READY, remote_id="dep-1", missing_since=NOW - 60)
    gone = record_missing(ready, now=NOW)
    assert gone.deployment.state is DeploymentState.GONE
    assert gone.failure is not None
    assert "dep-1" in gone.failure.message


def test_failure_is_kept_through_a_removal_that_fails_at_first() -> None:
    starting = a_deployment(DeploymentState.STARTING)
    stopping = start_stop(starting, StopReason.FAILED, now=NOW, failure=FAILURE).deployment
    hiccup = Failure("rate_limited", "slow down", "h", "req-9")
    retried = retry_deployment_later(stopping, hiccup, until=NOW + 1, maybe_sent=True)
    assert (retried.failure, retried.request_id, retried.deployment.failure) == (hiccup, "req-9", FAILURE)
    after = record_missing(replace(retried.deployment, missing_since=NOW), now=NOW + 60).deployment
    assert (after.state, after.failure) == (DeploymentState.FAILED, FAILURE)


def test_stop_during_a_create_keeps_the_answer_of_the_create() -> None:
    creating = start_create(a_deployment(), now=NOW, intent_until=NOW + 30).deployment
    created = record_created(creating, a_remote_deployment(), now=NOW + 2)
    stopped = request_stop(creating, now=NOW + 1).deployment
    rebased = rebase_on_stop(created, stopped, now=NOW + 3)
    assert rebased is not None
    after = rebased.deployment
    assert (after.state, after.remote_id, after.stop_reason) == ("starting", "dep-1", StopReason.REQUESTED)
    assert (after.version, after.wake_at) == (stopped.version + 1, NOW + 3)
    other = sleep_deployment_until(creating, NOW + 9).deployment
    assert rebase_on_stop(created, other, now=NOW + 3) is None


def test_request_again_starts_a_round_of_its_own() -> None:
    ended = a_deployment(DeploymentState.GONE, expires_at=NOW - 5, remote_id="dep-1", stop_reason=StopReason.EXPIRED)
    again = request_again(ended, now=NOW).deployment
    assert again.tag != ended.tag
    assert (again.state, again.expires_at, again.remote_id, again.stop_reason) == ("wanted", None, None, None)
    assert again.model == ended.model


def test_request_again_keeps_what_the_ended_round_has_cost() -> None:
    ended = a_deployment(
        DeploymentState.STOPPED, usd_per_hour=6.0, create_started_at=NOW - 7200, ended_at=NOW - 3600, earlier_usd=1.0
    )
    again = request_again(ended, now=NOW).deployment
    assert (again.earlier_usd, again.earlier_month_usd, again.earlier_started_at) == (7.0, 6.0, NOW - 7200)
    withdrawn = replace(again, state=DeploymentState.STOPPED, ended_at=NOW)
    assert request_again(withdrawn, now=NOW).deployment.earlier_usd == 7.0


def test_deployment_found_after_its_end_is_removed() -> None:
    ended = a_deployment(DeploymentState.STOPPED, ended_at=NOW - 5)
    after = record_reappearance(ended, a_remote_deployment(), now=NOW).deployment
    assert (after.state, after.stop_reason, after.wake_at) == ("stopping", StopReason.FOUND_AFTER_END, NOW)
    assert after.expires_at == NOW


def test_expiry_is_moved_by_an_operator_only_before_the_stop() -> None:
    ready = a_deployment(DeploymentState.READY)
    assert extend_expiry(ready, NOW + 9000, now=NOW).deployment.expires_at == NOW + 9000
    for deployment, until in [(request_stop(ready, now=NOW).deployment, NOW + 9000), (ready, NOW)]:
        with pytest.raises(IllegalTransition):
            extend_expiry(deployment, until, now=NOW)


def test_answer_refusal_and_answer_again() -> None:
    ready = record_answer(a_deployment(DeploymentState.STARTING), now=NOW, wake_at=NOW + 9).deployment
    degraded = record_refusal(ready, FAILURE, now=NOW + 1, wake_at=NOW + 9).deployment
    back = record_answer(degraded, now=NOW + 2, wake_at=NOW + 9).deployment
    assert [ready.state, degraded.state, back.state] == ["ready", "degraded", "ready"]
    assert (back.ready_at, degraded.failure, back.failure) == (NOW, FAILURE, None)


def test_release_with_approval_is_recorded() -> None:
    held = hold_deployment(a_deployment(), PERMANENT_HOLD).deployment
    assert release_deployment(held, now=NOW).deployment.approved_at is None
    after = release_deployment(held, now=NOW, approved=True).deployment
    assert (after.hold, after.approved_at, after.wake_at) == (None, NOW, NOW)


def test_created_deployment_ends_its_intent_and_keeps_the_id_of_the_request() -> None:
    creating = start_create(a_deployment(missing_since=NOW - 9), now=NOW, intent_until=NOW + 30).deployment
    created = record_created(replace(creating, missing_since=NOW - 9), a_remote_deployment(), now=NOW + 1)
    assert created.request_id == "req-1"
    after = created.deployment
    assert (after.intent_until, after.missing_since, after.attempts) == (None, None, 0)
    assert (after.state_since, after.wake_at, after.ended_at) == (NOW + 1, NOW + 1, None)


def test_what_the_provider_does_not_report_stays_as_it_is() -> None:
    ready = a_deployment(
        DeploymentState.READY, usd_per_hour=4.0, price_source="list", model_string="s", base_url="https://a/v1"
    )
    after = poll_deployment_again(ready, NOW + 9, **describe_remote(ready, a_remote_deployment())).deployment
    assert (after.usd_per_hour, after.price_source, after.model_string, after.base_url) == (
        4.0, "list", "s", "https://a/v1"
    )  # fmt: skip
    assert (after.remote_id, after.remote_status) == ("dep-1", "RUNNING")
    told = a_remote_deployment(usd_per_hour=0.0, price_source="api", model_string="t", base_url="https://b/v1")
    assert {name: value for name, value in describe_remote(ready, told).items() if name != "remote_id"} == {
        "remote_status": "RUNNING",
        "usd_per_hour": 0.0,
        "price_source": "api",
        "model_string": "t",
        "base_url": "https://b/v1",
    }


def test_source_of_a_price_stays_where_the_provider_reports_none() -> None:
    remote = a_remote_deployment(price_source="not reported by the API")
    stated = a_deployment(DeploymentState.READY, usd_per_hour=1.7, price_source="stated by the operator")
    assert describe_remote(stated, remote)["price_source"] == "stated by the operator"
    assert describe_remote(replace(stated, usd_per_hour=None), remote)["price_source"] == "not reported by the API"


FAILING = a_deployment(DeploymentState.STARTING, attempts=3, missing_since=NOW - 9, failure=FAILURE)


def test_poll_and_answer_clear_attempts_failure_and_absence() -> None:
    for after in (
        poll_deployment_again(FAILING, NOW + 9).deployment,
        record_answer(FAILING, now=NOW, wake_at=NOW + 9).deployment,
        record_answer(replace(FAILING, state=DeploymentState.READY), now=NOW, wake_at=NOW + 9).deployment,
    ):
        assert (after.attempts, after.failure, after.missing_since, after.wake_at) == (0, None, None, NOW + 9)


@pytest.mark.parametrize("state", [DeploymentState.STARTING, DeploymentState.READY])
def test_refused_call_is_no_failed_attempt_and_shows_that_the_deployment_exists(state: DeploymentState) -> None:
    outcome = record_refusal(replace(FAILING, state=state, failure=None), FAILURE, now=NOW, wake_at=NOW + 9)
    after = outcome.deployment
    assert (after.attempts, after.failure, after.missing_since, after.wake_at) == (0, FAILURE, None, NOW + 9)


def test_removal_that_takes_longer_keeps_its_reason_and_starts_the_absence_again() -> None:
    stopping = start_stop(FAILING, StopReason.FAILED, now=NOW, failure=FAILURE).deployment
    tired = replace(stopping, attempts=3, missing_since=NOW)
    outcome = record_removal_progress(tired, a_remote_deployment(raw_status="DELETING"), until=NOW + 9)
    after = outcome.deployment
    assert (after.attempts, after.missing_since, after.failure, after.wake_at) == (0, None, FAILURE, NOW + 9)
    assert (after.remote_id, after.remote_status, outcome.label) == ("dep-1", "DELETING", None)


def test_first_look_up_without_a_result_is_no_failed_attempt() -> None:
    stopping = start_stop(FAILING, StopReason.EXPIRED, now=NOW).deployment
    after = record_missing(replace(stopping, attempts=3), now=NOW).deployment
    assert (after.attempts, after.missing_since) == (0, NOW)
    assert after.wake_at == NOW + ABSENCE_CONFIRMATION_SECONDS


def test_stop_for_another_reason_than_a_failure_drops_the_failure() -> None:
    assert start_stop(FAILING, StopReason.EXPIRED, now=NOW).deployment.failure is None
    assert start_stop(FAILING, StopReason.FAILED, now=NOW).deployment.failure == FAILURE
    assert start_stop(FAILING, StopReason.EXPIRED, now=NOW).deployment.missing_since is None


def test_deployment_that_failed_by_a_conflict_is_created_again_with_its_approval() -> None:
    starting = replace(FAILING, approved_at=NOW - 5, usd_per_hour=6.0)  # its create was started a minute ago
    stopping = start_stop(starting, StopReason.CONFLICT, now=NOW, failure=FAILURE).deployment
    again = record_missing(replace(stopping, missing_since=NOW), now=NOW + ABSENCE_CONFIRMATION_SECONDS).deployment
    assert (again.state, again.round, again.approved_at) == ("wanted", starting.round + 1, NOW - 5)
    assert (again.wake_at, again.ended_at, again.intent_until) == (NOW + ABSENCE_CONFIRMATION_SECONDS, None, None)
    assert again.earlier_usd == pytest.approx(6.0 * 2 / 60), "until its removal, and not until its expiry"

    late = replace(stopping, missing_since=NOW, expires_at=NOW + 1)
    assert record_missing(late, now=NOW + ABSENCE_CONFIRMATION_SECONDS).deployment.state == "stopped"


def test_stop_request_replaces_only_the_reason_of_a_removal_that_would_create_again() -> None:
    for reason, kept in [
        (StopReason.CONFLICT, StopReason.REQUESTED),
        (StopReason.FAILED, StopReason.FAILED),
        (None, StopReason.REQUESTED),
    ]:
        requested = request_stop(a_deployment(DeploymentState.STARTING, stop_reason=reason), now=NOW)
        assert (requested.deployment.stop_reason, requested.deployment.wake_at) == (kept, NOW)
        assert requested.label == "stop requested"


def test_retry_keeps_the_intent_only_of_a_create_that_was_possibly_sent_or_of_a_removal() -> None:
    creating = start_create(a_deployment(), now=NOW, intent_until=NOW + 30).deployment
    stopping = start_stop(creating, StopReason.REQUESTED, now=NOW).deployment
    for deployment, sent, intent in [
        (creating, True, NOW + 30), (creating, False, None), (stopping, False, NOW + 30)
    ]:  # fmt: skip
        after = retry_deployment_later(deployment, FAILURE, until=NOW + 5, maybe_sent=sent).deployment
        assert (after.intent_until, after.attempts, after.wake_at) == (intent, 1, NOW + 5)


def test_hold_wakes_at_its_end_and_its_release_forgets_failures() -> None:
    until = replace(PERMANENT_HOLD, until=NOW + 9)
    held = hold_deployment(a_deployment(), until)
    assert (held.deployment.wake_at, held.deployment.hold, held.failure) == (NOW + 9, until, until.failure)
    assert hold_deployment(a_deployment(), PERMANENT_HOLD).deployment.wake_at is None
    released = release_deployment(replace(held.deployment, attempts=5), now=NOW)
    after = released.deployment
    assert (after.attempts, after.failure, after.hold, released.label) == (0, None, None, "released")


def test_outcome_of_a_step_names_the_event_and_the_previous_state() -> None:
    outcome = record_answer(FAILING, now=NOW, wake_at=NOW + 9)
    assert (outcome.previous_state, outcome.deployment.state) == ("starting", "ready")
    assert (outcome.deployment.version, outcome.deployment.state_since) == (FAILING.version + 1, NOW)
    assert outcome.deployment.ready_at == NOW
    assert outcome.label


def test_end_of_a_deployment_has_its_time_and_no_intent() -> None:
    withdrawn = withdraw_deployment(a_deployment(intent_until=NOW + 5), now=NOW)
    refused = refuse_deployment(a_deployment(intent_until=NOW + 5), FAILURE, now=NOW)
    for after in (withdrawn.deployment, refused.deployment):
        assert (after.ended_at, after.wake_at, after.intent_until) == (NOW, None, None)
    assert (refused.deployment.state, refused.failure) == ("failed", FAILURE)
    assert withdrawn.failure is None
