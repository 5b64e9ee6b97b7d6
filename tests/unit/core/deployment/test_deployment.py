from __future__ import annotations

import pytest
from core_values import NOW
from deployment_values import DEPLOYMENT_SPEC, a_deployment, a_remote_deployment

from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeploymentStatus
from orchestrator.core.structs import replace

STATUS = RemoteDeploymentStatus


@pytest.mark.parametrize(
    ("kind", "usd_per_hour", "is_billed"),
    [
        (DeploymentKind.HOUR, 4.0, True),
        (DeploymentKind.HOUR, None, True),
        (DeploymentKind.HOUR, 0.0, True),
        (DeploymentKind.TOKEN, 0.0, False),
        (DeploymentKind.TOKEN, None, False),
        (DeploymentKind.TOKEN, 1.7, True),
    ],
)
def test_deployment_is_billed_by_hour_by_its_kind_or_its_price(
    kind: DeploymentKind, usd_per_hour: float | None, *, is_billed: bool
) -> None:
    deployment = a_deployment(spec=replace(DEPLOYMENT_SPEC, kind=kind), usd_per_hour=usd_per_hour)
    assert deployment.is_billed_by_hour is is_billed


def test_deployment_is_expired_from_its_expiry_on() -> None:
    ready = a_deployment(DeploymentState.READY, expires_at=NOW)
    assert [ready.is_expired(at) for at in (NOW - 1, NOW, NOW + 1)] == [False, True, True]
    assert not a_deployment(expires_at=None).is_expired(NOW)


def test_name_of_the_longest_allowed_length_is_kept() -> None:
    name = format_deployment_name("0011223344556677.1")
    assert format_deployment_name("0011223344556677.1", max_length=len(name)) == name
    assert not format_deployment_name("0011223344556677.1", max_length=len(name) - 1).startswith("orch-")


@pytest.mark.parametrize("status", STATUS)
def test_call_is_worth_it_unless_the_deployment_starts_or_ends(status: RemoteDeploymentStatus) -> None:
    expected = status in {STATUS.RUNNING, STATUS.ASLEEP, STATUS.DEGRADED, STATUS.UNKNOWN}
    assert a_remote_deployment(status).is_worth_a_call is expected
