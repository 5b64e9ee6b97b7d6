from __future__ import annotations

import pytest
from core_values import NOW
from deployment_values import a_deployment, a_remote_deployment

from orchestrator.core.account_state import AccountHeld
from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.next_action import CreateDeployment, DeploymentContext, next_deployment_action
from orchestrator.core.deployment.remote_deployment import (
    RemoteDeploymentStatus,
    select_remote_deployment,
)
from orchestrator.core.deployment.remote_state import (
    EXPIRY_NOTICE_SECONDS,
    MAX_CONFLICT_ROUND,
    get_next_poll,
    interpret_deployment_error,
    observe_deployment,
)
from orchestrator.core.deployment.transitions import ABSENCE_CONFIRMATION_SECONDS, record_missing, request_stop
from orchestrator.core.errors import (
    AuthenticationFailed,
    DeploymentNameTaken,
    DeploymentNotReady,
    ProviderError,
    ProviderUnavailable,
    RemoteNotFound,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.jobs.retry_policy import MAX_RETRY_ATTEMPTS
from orchestrator.core.structs import replace

TAG, MODEL = a_deployment().tag, a_deployment().model
STATUS = RemoteDeploymentStatus


@pytest.mark.parametrize(
    ("status", "state", "after"),
    [
        (STATUS.CREATING, "starting", "starting"),
        (STATUS.RUNNING, "starting", "starting"),  # only a real call makes it ready
        (STATUS.UNKNOWN, "ready", "ready"),
        (STATUS.ASLEEP, "ready", "ready"),
        (STATUS.DEGRADED, "starting", "starting"),
        (STATUS.DEGRADED, "ready", "degraded"),
        (STATUS.FAILED, "starting", "stopping"),
        (STATUS.FAILED, "ready", "stopping"),
        (STATUS.STOPPED, "ready", "stopping"),
        (STATUS.STOPPING, "degraded", "stopping"),
    ],
)
def test_status_means(status: RemoteDeploymentStatus, state: str, after: str) -> None:
    deployment = a_deployment(DeploymentState(state))
    outcome = observe_deployment(deployment, a_remote_deployment(status), now=NOW, wake_at=NOW + 5)
    assert outcome.deployment.state == after


def test_failure_at_the_provider_is_removed_and_keeps_the_message() -> None:
    remote = a_remote_deployment(STATUS.FAILED, message="out of GPUs")
    outcome = observe_deployment(a_deployment(DeploymentState.STARTING), remote, now=NOW, wake_at=NOW)
    assert outcome.deployment.stop_reason is StopReason.FAILED
    assert outcome.deployment.failure is not None
    assert "out of GPUs" in outcome.deployment.failure.message


def test_late_conflict_is_removed_and_created_again() -> None:
    remote = a_remote_deployment(STATUS.FAILED, message="RequestConflict", failed_by_conflict=True)
    starting = a_deployment(DeploymentState.STARTING, approved_at=NOW - 9)
    stopping = observe_deployment(starting, remote, now=NOW, wake_at=NOW).deployment
    assert (stopping.state, stopping.stop_reason) == (DeploymentState.STOPPING, StopReason.CONFLICT)
    once = record_missing(stopping, now=NOW).deployment
    again = record_missing(once, now=NOW + ABSENCE_CONFIRMATION_SECONDS).deployment
    assert (again.state, again.stop_reason, again.failure) == (DeploymentState.WANTED, None, None)
    assert (again.round, again.approved_at) == (starting.round + 1, NOW - 9)
    assert next_deployment_action(again, DeploymentContext(), NOW + 99) == CreateDeployment()


def test_late_conflict_is_final_after_many_rounds_after_the_expiry_and_after_a_stop() -> None:
    remote = a_remote_deployment(STATUS.FAILED, failed_by_conflict=True)
    often = a_deployment(DeploymentState.STARTING, round=MAX_CONFLICT_ROUND)
    assert observe_deployment(often, remote, now=NOW, wake_at=NOW).deployment.stop_reason is StopReason.FAILED
    starting = a_deployment(DeploymentState.STARTING)
    stopping = observe_deployment(starting, remote, now=NOW, wake_at=NOW).deployment
    late = (stopping.expires_at or 0.0) + 1
    for ended in (replace(stopping, missing_since=NOW), request_stop(stopping, now=NOW).deployment):
        missing = replace(ended, missing_since=NOW)
        when = late if missing.stop_reason is StopReason.CONFLICT else NOW + ABSENCE_CONFIRMATION_SECONDS
        assert record_missing(missing, now=when).deployment.state is DeploymentState.STOPPED


def test_poll_records_where_it_is_called_and_what_it_costs() -> None:
    remote = a_remote_deployment(model_string="acme/m", base_url="https://h/v1", usd_per_hour=4.0)
    deployment = a_deployment(DeploymentState.STARTING, base_url="https://old/v1", price_source="price page")
    after = observe_deployment(deployment, remote, now=NOW, wake_at=NOW + 5).deployment
    assert (after.model_string, after.base_url, after.usd_per_hour) == ("acme/m", "https://h/v1", 4.0)
    assert after.price_source == "price page"  # not reported: kept


def test_only_tag_and_model_make_it_ours() -> None:
    ours = a_remote_deployment()
    others = [
        a_remote_deployment(id="a", tag="x"),
        a_remote_deployment(id="b", model="y"),
        a_remote_deployment(tag=None),
    ]
    assert select_remote_deployment(TAG, MODEL, others).chosen is None
    assert select_remote_deployment(TAG, MODEL, [*others, ours]).chosen == ours
    assert select_remote_deployment(TAG, MODEL, [], named=ours).chosen == ours


def test_oldest_is_used_and_the_others_are_surplus() -> None:
    old, new = a_remote_deployment(id="z", created_at=NOW - 9), a_remote_deployment(id="a", created_at=NOW)
    matches = select_remote_deployment(TAG, MODEL, [new, old], named=new)
    assert (matches.chosen, matches.surplus) == (old, (new,))


def test_name_of_somebody_elses_is_refused() -> None:
    with pytest.raises(DeploymentNameTaken, match="does not carry the tag"):
        select_remote_deployment(TAG, MODEL, [], named=a_remote_deployment(tag="x"))


@pytest.mark.parametrize(
    ("state", "error", "attempts", "after"),
    [
        ("wanted", RequestRejected("400"), 0, "failed"),
        ("creating", UnknownOutcome("?"), 0, "creating"),
        ("creating", UnknownOutcome("?"), MAX_RETRY_ATTEMPTS, "stopping"),  # it may exist: never failed at once
        ("creating", RequestRejected("400"), 0, "stopping"),
        ("creating", RemoteNotFound("model"), 0, "stopping"),
        ("starting", ProviderUnavailable("503"), 3, "starting"),
        ("starting", RequestRejected("400"), 0, "stopping"),
        ("starting", DeploymentNotReady("503"), MAX_RETRY_ATTEMPTS, "starting"),  # a start takes up to hours
        ("ready", DeploymentNotReady("503"), 0, "degraded"),
        ("degraded", DeploymentNotReady("503"), 0, "degraded"),
        ("ready", RemoteNotFound("404"), 0, "ready"),  # until a second look-up confirms it
        ("stopping", RequestRejected("400"), MAX_RETRY_ATTEMPTS, "stopping"),
        ("stopping", AuthenticationFailed("401"), MAX_RETRY_ATTEMPTS, "stopping"),
    ],
)
def test_error_means(state: str, error: ProviderError, attempts: int, after: str) -> None:
    deployment = a_deployment(DeploymentState(state), attempts=attempts, intent_until=NOW + 9)
    outcome = interpret_deployment_error(deployment, error, now=NOW, jitter=0.5).deployment
    assert outcome.state == after
    assert (outcome.wake_at is None) == (after == "failed")


def test_lost_answer_keeps_the_intent_and_a_busy_server_ends_it() -> None:
    creating = a_deployment(DeploymentState.CREATING, intent_until=NOW + 9)
    lost = interpret_deployment_error(creating, UnknownOutcome("?"), now=NOW, jitter=0.5).deployment
    busy = interpret_deployment_error(creating, ProviderUnavailable("503"), now=NOW, jitter=0.5).deployment
    assert (lost.intent_until, busy.intent_until) == (NOW + 9, None)


def test_broken_key_holds_the_account_and_the_deployment_still_wakes_at_its_expiry() -> None:
    ready = a_deployment(DeploymentState.READY)
    outcome = interpret_deployment_error(ready, AuthenticationFailed("401", request_id="r"), now=NOW, jitter=0.5)
    assert isinstance(outcome.account_update, AccountHeld)
    assert outcome.request_id == "r"
    assert outcome.deployment.wake_at is not None
    assert outcome.deployment.wake_at <= (ready.expires_at or 0)


def test_removal_is_tried_again_at_least_every_few_minutes() -> None:
    stopping = a_deployment(DeploymentState.STOPPING, attempts=500)
    after = interpret_deployment_error(stopping, AuthenticationFailed("401"), now=NOW, jitter=1.0).deployment
    assert after.wake_at is not None
    assert NOW < after.wake_at <= NOW + 400


def test_polls_get_rare_while_nothing_changes() -> None:
    delays = [
        get_next_poll(a_deployment(DeploymentState(state), state_since=NOW - since), NOW, 0.5) - NOW
        for state, since in [("starting", 0), ("starting", 9000), ("ready", 0), ("ready", 90_000)]
    ]
    assert delays == [5, 60, 300, 3600]


def test_start_is_polled_at_its_own_pace_and_counts_no_attempts() -> None:
    starting = a_deployment(DeploymentState.STARTING, attempts=3, state_since=NOW - 100)
    after = interpret_deployment_error(starting, DeploymentNotReady("503"), now=NOW, jitter=0.5).deployment
    assert (after.attempts, after.wake_at) == (0, NOW + 20)


@pytest.mark.parametrize(
    ("status", "conflict", "kind", "message"),
    [
        (STATUS.FAILED, False, "deployment_failed", "the deployment dep-1 failed at the provider: no capacity"),
        (STATUS.FAILED, True, "deployment_conflict", "the deployment dep-1 failed at the provider: no capacity"),
        (
            STATUS.DEGRADED,
            False,
            "deployment_degraded",
            "the deployment dep-1 is degraded at the provider: no capacity",
        ),
    ],
)
def test_problem_at_the_provider_is_named_with_its_reason(
    status: RemoteDeploymentStatus, conflict: bool, kind: str, message: str
) -> None:
    remote = a_remote_deployment(status, message="no capacity", failed_by_conflict=conflict)
    deployment = a_deployment(DeploymentState.STARTING)
    failure = observe_deployment(deployment, remote, now=NOW, wake_at=NOW + 5).deployment.failure
    assert failure is not None
    assert (failure.kind, failure.message, failure.request_id) == (kind, message, "req-1")
    silent = observe_deployment(deployment, replace(remote, message=None), now=NOW, wake_at=NOW + 5)
    assert silent.deployment.failure is not None
    assert silent.deployment.failure.message.endswith(f"its status is {remote.raw_status}")


def test_refusal_of_a_deployment_is_the_reason_of_its_removal() -> None:
    error = RequestRejected("400: no", request_id="req-7")
    after = interpret_deployment_error(a_deployment(DeploymentState.STARTING), error, now=NOW, jitter=0.5).deployment
    assert (after.state, after.stop_reason) == ("stopping", StopReason.FAILED)
    assert after.failure is not None
    assert (after.failure.message, after.failure.request_id) == ("400: no", "req-7")


@pytest.mark.parametrize(
    ("left", "delay"),
    [(2 * EXPIRY_NOTICE_SECONDS, EXPIRY_NOTICE_SECONDS), (EXPIRY_NOTICE_SECONDS, 3600), (60, 3600), (1e6, 3600)],
)
def test_deployment_is_polled_when_its_end_has_to_be_announced(left: float, delay: float) -> None:
    ready = a_deployment(DeploymentState.READY, state_since=NOW - 90_000, expires_at=NOW + left)
    assert get_next_poll(ready, NOW, 0.5) == NOW + delay


def test_deployment_without_an_expiry_is_polled_at_its_own_pace() -> None:
    assert get_next_poll(a_deployment(expires_at=None), NOW, 0.5) == NOW + 60
