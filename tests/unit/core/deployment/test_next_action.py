"""Every state, under every circumstance, against a table written independently of the code."""

from __future__ import annotations

from itertools import product

import pytest
from core_values import NOW, PERMANENT_HOLD
from deployment_values import a_deployment

from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, DeploymentState
from orchestrator.core.deployment.next_action import (
    CreateDeployment,
    DeploymentAction,
    DeploymentContext,
    PollDeployment,
    RemoveDeployment,
    StartRemoval,
    VerifyDeploymentAccount,
    WithdrawDeployment,
    next_deployment_action,
)
from orchestrator.core.jobs.next_action import INTENT_GRACE_SECONDS, Idle, Wait

ACTIONS: dict[DeploymentState, tuple[DeploymentAction, DeploymentAction]] = {
    DeploymentState.WANTED: (CreateDeployment(), WithdrawDeployment()),
    DeploymentState.CREATING: (CreateDeployment(), StartRemoval(StopReason.REQUESTED)),
    DeploymentState.STARTING: (PollDeployment(), StartRemoval(StopReason.REQUESTED)),
    DeploymentState.READY: (PollDeployment(), StartRemoval(StopReason.REQUESTED)),
    DeploymentState.DEGRADED: (PollDeployment(), StartRemoval(StopReason.REQUESTED)),
    DeploymentState.STOPPING: (RemoveDeployment(), RemoveDeployment()),
    DeploymentState.STOPPED: (Idle(), Idle()),
    DeploymentState.GONE: (Idle(), Idle()),
    DeploymentState.FAILED: (Idle(), Idle()),
}
"""What a state needs when all is well, and what it needs when a stop was requested."""
INTENT_STATES = {DeploymentState.WANTED, DeploymentState.CREATING, DeploymentState.STOPPING}


@pytest.mark.parametrize(
    ("state", "stop", "held", "in_flight"),
    list(product(DeploymentState, [False, True], [False, True], [False, True])),
)
def test_intent_comes_first_then_the_stop_then_the_holds(
    state: DeploymentState, stop: bool, held: bool, in_flight: bool
) -> None:
    intent_until = NOW + 5 if in_flight else NOW - INTENT_GRACE_SECONDS
    reason = StopReason.REQUESTED if stop else None
    deployment = a_deployment(state, stop_reason=reason, intent_until=intent_until)
    context = DeploymentContext(holds=(PERMANENT_HOLD,) if held else ())
    action = next_deployment_action(deployment, context, NOW)
    if in_flight and state in INTENT_STATES:
        assert action == Wait(intent_until + INTENT_GRACE_SECONDS)
    elif stop:
        assert action == ACTIONS[state][1]
    else:
        assert action == (Idle() if held else ACTIONS[state][0])


@pytest.mark.parametrize("state", sorted(MAY_EXIST_STATES - {DeploymentState.STOPPING}))
@pytest.mark.parametrize("late", [0.0, 86_400.0], ids=["at the expiry", "after a clock jump of a day"])
def test_expired_deployment_is_removed_despite_holds(state: DeploymentState, late: float) -> None:
    deployment = a_deployment(state, expires_at=NOW)
    context = DeploymentContext(holds=(PERMANENT_HOLD,), account_verified=False, model_exists=False)
    assert next_deployment_action(deployment, context, NOW + late) == StartRemoval(StopReason.EXPIRED)


def test_before_the_create_it_waits_for_the_model_the_account_and_its_turn() -> None:
    wanted = a_deployment()
    assert next_deployment_action(wanted, DeploymentContext(model_exists=False), NOW) == Idle()
    assert next_deployment_action(wanted, DeploymentContext(may_create_now=False), NOW) == Idle()
    unverified = DeploymentContext(account_verified=False)
    assert next_deployment_action(wanted, unverified, NOW) == VerifyDeploymentAccount()
