from __future__ import annotations

from itertools import product

import pytest
from core_values import NOW
from deployment_values import a_deployment

from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, DeploymentState
from orchestrator.core.deployment.remote_state import EXPIRY_NOTICE_SECONDS
from orchestrator.core.errors import Failure
from orchestrator.core.notifications.deployment_notifications import (
    build_deployment_notification,
    build_expiry_notification,
    is_ending_soon,
)
from orchestrator.core.notifications.notification import Topic

STATE = DeploymentState
TOPICS = {
    STATE.READY: Topic.DEPLOYMENT_READY,
    STATE.FAILED: Topic.DEPLOYMENT_FAILED,
    STATE.GONE: Topic.DEPLOYMENT_GONE,
}


@pytest.mark.parametrize(("before", "after"), list(product(STATE, STATE)))
def test_only_readiness_failures_and_losses_are_announced_once(before: STATE, after: STATE) -> None:
    reported = build_deployment_notification(a_deployment(after), before, NOW)
    expected = None if before is after or (before, after) == (STATE.DEGRADED, STATE.READY) else TOPICS.get(after)
    assert (reported and reported.topic) == expected


def test_announcement_of_a_deployment_names_the_model_and_where_it_is_called() -> None:
    ready = a_deployment(STATE.READY, expires_at=NOW + 60, model_string="acme/m", base_url="https://a/v1")
    reported = build_deployment_notification(ready, STATE.STARTING, NOW)
    assert reported is not None
    assert reported.to_payload() == {
        "type": "deployment.ready",
        "timestamp": "1970-01-12T13:46:40+00:00",
        "data": {
            "run": None,
            "account": "acme",
            "provider": "fireworks",
            "job": "0123456789abcdef",
            "state": "ready",
            "fine_tuned_model": "accounts/acme/models/m-1",
            "servable": None,
            "error": None,
            "deployment": "00112233445566aa",
            "model_string": "acme/m",
            "base_url": "https://a/v1",
            "expires_at": "1970-01-12T13:47:40+00:00",
        },
    }


def test_failure_of_a_deployment_is_announced_with_its_reason() -> None:
    failure = Failure("deployment_failed", "no capacity", "Request it again.")
    reported = build_deployment_notification(a_deployment(STATE.FAILED, failure=failure), STATE.STOPPING, NOW)
    assert reported is not None
    assert reported.error == failure
    assert reported.to_payload()["data"]["expires_at"] is None


@pytest.mark.parametrize(
    ("before_end", "is_soon"),
    [(EXPIRY_NOTICE_SECONDS + 1, False), (EXPIRY_NOTICE_SECONDS, True), (1, True), (0, False), (-1, False)],
)
def test_end_is_announced_within_its_last_minutes(before_end: float, *, is_soon: bool) -> None:
    assert is_ending_soon(a_deployment(STATE.READY, expires_at=NOW), NOW - before_end) is is_soon


@pytest.mark.parametrize("state", sorted(MAY_EXIST_STATES))
def test_end_is_announced_only_to_clients_of_a_deployment_that_is_called(state: STATE) -> None:
    ending = a_deployment(state, expires_at=NOW)
    assert is_ending_soon(ending, NOW - 1) is (state in {STATE.READY, STATE.DEGRADED})
    requested = a_deployment(state, expires_at=NOW, stop_reason=StopReason.REQUESTED)
    assert not is_ending_soon(requested, NOW - 1)


def test_announcement_of_the_end_names_the_time_that_is_left() -> None:
    reported = build_expiry_notification(a_deployment(STATE.READY, expires_at=NOW + 600), NOW)
    assert reported.topic is Topic.DEPLOYMENT_EXPIRING
    assert reported.error is not None
    assert reported.error.kind == "deployment_expiring"
    assert reported.error.message == "the deployment of accounts/acme/models/m-1 is stopped in 10 min"
