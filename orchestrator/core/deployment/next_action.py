"""Decides what a deployment needs next. The decision is pure; the reconciler (orchestrator/daemon) carries it out."""

# Theory of operation
#
# As for jobs (core/jobs/next_action.py), no decision is stored: after a crash the same function decides again from
# the fields alone. The order of the checks:
#
#   1. Intent. While a create may still arrive, nothing is looked up or deleted, not even after the expiry:
#      a look-up would find nothing, and the deployment would arrive after it.
#   2. Stop. A requested stop and the expiry come before the holds: a hold must never keep something running that is
#      billed by the hour. The same holds for a removal that has begun.
#   3. Holds, of the deployment and of its account, and the price. They keep a deployment from being created. One that
#      exists is not polled while it is on hold, but it wakes at its expiry (transitions.py).
#   4. The key. Before a create it is verified: with the key of somebody else the look-up before it finds nothing. For
#      the same reason a look-up that finds nothing counts only with a verified key, also of a removal: otherwise a
#      deployment would be reported as gone, and be billed on. What such a key does find carries our tag and is ours.
#   5. The state. One arm for each; `assert_never` makes mypy report a state without an arm.
#
# CreateDeployment writes the intent (`start_create`), looks the deployment up by its tag and by its name, and only
# creates what is certainly not there. RemoveDeployment looks up, deletes what it finds (and every surplus with the
# same tag), and calls `record_missing` once there is nothing.

from __future__ import annotations

from typing import assert_never

from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import get_intent_end
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.next_action import Idle, Wait
from orchestrator.core.structs import Struct


class VerifyDeploymentAccount(Struct, frozen=True):
    """Verify the account's key and its owner, before anything is created or believed to be missing."""


class CreateDeployment(Struct, frozen=True):
    """Find the remote deployment by its tag, or create it."""


class PollDeployment(Struct, frozen=True):
    """Read the remote deployment, and make one real call if it may be answered."""


class WithdrawDeployment(Struct, frozen=True):
    """End a deployment for which nothing was sent."""


class StartRemoval(Struct, frozen=True):
    """Write that the removal has begun, before anything is deleted."""

    reason: StopReason


class RemoveDeployment(Struct, frozen=True):
    """Find the remote deployment, delete it, and confirm that it does not exist."""


LocalDeploymentAction = Idle | Wait | WithdrawDeployment | StartRemoval
"""The actions that need no provider."""

RemoteDeploymentAction = VerifyDeploymentAccount | CreateDeployment | PollDeployment | RemoveDeployment
"""The actions that call the provider."""

DeploymentAction = LocalDeploymentAction | RemoteDeploymentAction


class DeploymentContext(Struct, frozen=True, kw_only=True):
    """What a deployment's next step depends on besides the deployment itself."""

    account_verified: bool = True  # the provider accepted the account's current key
    model_exists: bool = True  # the job has succeeded, and the provider still has its model
    may_create_now: bool = True  # False while another operation of this account must end first (Azure)
    holds: tuple[Hold, ...] = ()  # all that apply: of the deployment, of its account, of its price


def next_deployment_action(deployment: Deployment, context: DeploymentContext, now: float) -> DeploymentAction:
    """Return what the deployment needs at `now` (epoch seconds). See the theory of operation for the order."""
    intent_end = get_intent_end(deployment)
    if now < intent_end:
        return Wait(intent_end)
    if deployment.stop_reason is not None or deployment.is_expired(now):
        action = _next_stop_step(deployment.state, deployment.stop_reason or StopReason.EXPIRED)
    elif any(hold.is_active(now) for hold in context.holds):
        return Idle()
    else:
        action = _next_step(deployment.state, context)
    is_look_up = isinstance(action, PollDeployment | RemoveDeployment)
    if is_look_up and deployment.missing_since is not None and not context.account_verified:
        return VerifyDeploymentAccount()
    return action


def _next_step(state: DeploymentState, context: DeploymentContext) -> DeploymentAction:
    match state:
        case DeploymentState.WANTED if not context.model_exists:
            return Idle()
        case DeploymentState.WANTED | DeploymentState.CREATING if not context.account_verified:
            return VerifyDeploymentAccount()
        case DeploymentState.WANTED | DeploymentState.CREATING:
            return CreateDeployment() if context.may_create_now else Idle()
        case DeploymentState.STARTING | DeploymentState.READY | DeploymentState.DEGRADED:
            return PollDeployment()
        case DeploymentState.STOPPING:
            return RemoveDeployment()
        case DeploymentState.STOPPED | DeploymentState.GONE | DeploymentState.FAILED:
            return Idle()
        case _:
            assert_never(state)


def _next_stop_step(state: DeploymentState, reason: StopReason) -> DeploymentAction:
    match state:
        case DeploymentState.WANTED:
            return WithdrawDeployment()
        case DeploymentState.CREATING | DeploymentState.STARTING | DeploymentState.READY | DeploymentState.DEGRADED:
            return StartRemoval(reason)
        case DeploymentState.STOPPING:
            return RemoveDeployment()
        case DeploymentState.STOPPED | DeploymentState.GONE | DeploymentState.FAILED:
            return Idle()
        case _:
            assert_never(state)
