"""Builders of deployments for the tests in this folder. Each test overrides only the fields that matter to it."""

from __future__ import annotations

from typing import Any

from core_values import NOW

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.jobs.job import JobId

KEEP_SECONDS = 7200.0
DEPLOYMENT_SPEC = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2, min_replicas=1, max_replicas=1)


def a_deployment(state: DeploymentState = DeploymentState.WANTED, **changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "id": DeploymentId("00112233445566aa"),
        "job_id": JobId("0123456789abcdef"),
        "account": "acme",
        "provider": ProviderName.FIREWORKS,
        "model": "accounts/acme/models/m-1",
        "spec": DEPLOYMENT_SPEC,
        "state": state,
        "created_at": NOW - 100,
        "state_since": NOW - 50,
        "wake_at": NOW,
    }
    if state in MAY_EXIST_STATES:
        values |= {"expires_at": NOW + KEEP_SECONDS, "create_started_at": NOW - 60}
    return Deployment(**(values | changes))


def a_remote_deployment(
    status: RemoteDeploymentStatus = RemoteDeploymentStatus.RUNNING, **changes: Any
) -> RemoteDeployment:
    values: dict[str, Any] = {
        "id": "dep-1",
        "status": status,
        "raw_status": status.value.upper(),
        "model": "accounts/acme/models/m-1",
        "tag": a_deployment().tag,
        "request_id": "req-1",
    }
    return RemoteDeployment(**(values | changes))
