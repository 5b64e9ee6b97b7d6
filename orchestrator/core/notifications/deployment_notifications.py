"""Notifications of deployments: ready, ending soon, failed, gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_state import EXPIRY_NOTICE_SECONDS
from orchestrator.core.errors import Failure
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.core.text import format_exact_duration

_TOPIC_BY_STATE: Final = {
    DeploymentState.READY: Topic.DEPLOYMENT_READY,
    DeploymentState.FAILED: Topic.DEPLOYMENT_FAILED,
    DeploymentState.GONE: Topic.DEPLOYMENT_GONE,
}


def build_deployment_notification(deployment: Deployment, before: DeploymentState, at: float) -> Notification | None:
    """Build the notification of a deployment that left the state `before`; None if nobody subscribes to its new one.

    A deployment that recovers from a problem was announced as ready before.
    """
    topic = _TOPIC_BY_STATE.get(deployment.state)
    recovers = before is DeploymentState.DEGRADED and deployment.state is DeploymentState.READY
    if topic is None or deployment.state is before or recovers:
        return None
    return _build(topic, deployment, at, deployment.failure)


def is_ending_soon(deployment: Deployment, at: float) -> bool:
    """Return whether clients should be warned now that the deployment will be stopped."""
    is_called = deployment.state in {DeploymentState.READY, DeploymentState.DEGRADED}
    if not is_called or deployment.stop_reason is not None or deployment.expires_at is None:
        return False
    return deployment.expires_at - EXPIRY_NOTICE_SECONDS <= at < deployment.expires_at


def build_expiry_notification(deployment: Deployment, at: float) -> Notification:
    """Build the notification that the deployment will be stopped soon."""
    left = format_exact_duration((deployment.expires_at or at) - at)
    failure = Failure(
        "deployment_expiring",
        f"the deployment of {deployment.model} is stopped in {left}",
        "After its end, `orchestrator deploy` makes the model callable again.",
    )
    return _build(Topic.DEPLOYMENT_EXPIRING, deployment, at, failure)


def _build(topic: Topic, deployment: Deployment, at: float, error: Failure | None) -> Notification:
    end = deployment.expires_at
    return Notification(
        topic=topic,
        at=at,
        account=deployment.account,
        provider=deployment.provider,
        job=deployment.job_id,
        state=deployment.state,
        fine_tuned_model=deployment.model,
        error=error,
        deployment={
            "deployment": deployment.id,
            "model_string": deployment.model_string,
            "base_url": deployment.base_url,
            "expires_at": None if end is None else datetime.fromtimestamp(end, UTC).isoformat(timespec="seconds"),
        },
    )
