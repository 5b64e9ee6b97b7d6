"""Translates what a provider reports about a deployment, or an error, into the next version of the deployment."""

# An operator's hold, a broken key and forty failed polls must not leave a deployment running beyond its expiry, and
# nothing here can: every function goes through transitions.py, which limits the wake-up, and STOPPING is never left
# by an error. What an error means for the other states is decided by the same table as for jobs (retry_policy.py).

from __future__ import annotations

from typing import Final, assert_never

from orchestrator.core.account_state import AccountHeld
from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.lifecycle import AT_PROVIDER_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    describe_remote,
    poll_deployment_again,
    record_missing,
    record_refusal,
    refuse_deployment,
    retry_deployment_later,
    start_stop,
)
from orchestrator.core.errors import DeploymentNotReady, Failure, ProviderError, RemoteNotFound, UnknownOutcome
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.retry_policy import (
    FailJob,
    HoldAccount,
    RetryAt,
    backoff,
    decide_retry,
    proportional_poll_delay,
)
from orchestrator.core.structs import replace

DEPLOYMENT_FAILED_KIND: Final = "deployment_failed"
DEPLOYMENT_CONFLICT_KIND: Final = "deployment_conflict"
DEPLOYMENT_DEGRADED_KIND: Final = "deployment_degraded"
FAILED_HINT: Final = "Read the provider's message, then request the deployment again, or choose other options for it."
CONFLICT_HINT: Final = (
    "No action needed: the service removes it and creates it again when the other operation has ended."
)
MAX_CONFLICT_ROUND: Final = 20
"""Rounds up to which a create is repeated after a conflict. Each takes minutes: the other program never pauses."""
DEGRADED_HINT: Final = "No action needed: the service polls it again. It is billed until it is stopped or expires."

_POLL_DELAYS: Final[dict[DeploymentState, tuple[float, float]]] = {
    DeploymentState.STARTING: (5.0, 60.0),
    DeploymentState.READY: (300.0, 3600.0),
    DeploymentState.DEGRADED: (30.0, 300.0),
    DeploymentState.STOPPING: (5.0, 60.0),
}
"""The shortest and the longest time between two polls, in seconds."""


EXPIRY_NOTICE_SECONDS: Final = 900.0
"""How long before its end a deployment is polled, so that its users are warned (deployment.expiring)."""


def get_next_poll(deployment: Deployment, now: float, jitter: float) -> float:
    """Return when the deployment is polled next: seldom while nothing changes. `jitter` is random, 0 to 1."""
    low, high = _POLL_DELAYS.get(deployment.state, (60.0, 60.0))
    due = now + proportional_poll_delay(now - deployment.state_since, low, high, jitter)
    if deployment.expires_at is None or now >= (notice_at := deployment.expires_at - EXPIRY_NOTICE_SECONDS):
        return due
    return min(due, notice_at)


def observe_deployment(
    deployment: Deployment, remote: RemoteDeployment, *, now: float, wake_at: float
) -> DeploymentOutcome:
    """Record a poll that made no call. A call is made, and recorded, separately (`record_answer`)."""
    match status := remote.status:
        case RemoteDeploymentStatus.FAILED if remote.failed_by_conflict and deployment.round < MAX_CONFLICT_ROUND:
            failure = _build_failure(DEPLOYMENT_CONFLICT_KIND, remote, "failed", CONFLICT_HINT)
            return start_stop(deployment, StopReason.CONFLICT, now=now, failure=failure)
        case RemoteDeploymentStatus.FAILED:
            failure = _build_failure(DEPLOYMENT_FAILED_KIND, remote, "failed", FAILED_HINT)
            return start_stop(deployment, StopReason.FAILED, now=now, failure=failure)
        case RemoteDeploymentStatus.STOPPING | RemoteDeploymentStatus.STOPPED:
            # Stopped in the console. It may be started there again, so what is left of it is removed.
            return start_stop(deployment, StopReason.REQUESTED, now=now)
        case RemoteDeploymentStatus.DEGRADED:
            failure = _build_failure(DEPLOYMENT_DEGRADED_KIND, remote, "is degraded", DEGRADED_HINT)
            return record_refusal(deployment, failure, now=now, wake_at=wake_at)
        case (
            RemoteDeploymentStatus.CREATING
            | RemoteDeploymentStatus.RUNNING
            | RemoteDeploymentStatus.ASLEEP
            | RemoteDeploymentStatus.UNKNOWN
        ):
            return poll_deployment_again(deployment, wake_at, **describe_remote(deployment, remote))
        case _:
            assert_never(status)


def interpret_deployment_error(
    deployment: Deployment, error: ProviderError, *, now: float, jitter: float
) -> DeploymentOutcome:
    """Record a failed call: retry it, hold the account, or stop the deployment. STOPPING retries whatever happens."""
    failure = Failure.from_error(error)
    if deployment.state is DeploymentState.STOPPING:
        return retry_deployment_later(
            deployment, failure, until=now + backoff(deployment.attempts, jitter), maybe_sent=True
        )
    # In CREATING a 404 is the refusal of the create: it names the model, not the deployment.
    if isinstance(error, RemoteNotFound) and deployment.state in AT_PROVIDER_DEPLOYMENT_STATES:
        return record_missing(deployment, now=now)
    if isinstance(error, DeploymentNotReady) and deployment.state in AT_PROVIDER_DEPLOYMENT_STATES:
        # No failed attempt: a first start takes up to hours, and forty polls of it must not stop it.
        return record_refusal(deployment, failure, now=now, wake_at=get_next_poll(deployment, now, jitter))
    decision = decide_retry(error, deployment.attempts, now, jitter)
    maybe_sent = isinstance(error, UnknownOutcome)
    match decision:
        case RetryAt(at, counts_as_attempt):
            outcome = retry_deployment_later(deployment, failure, until=at, maybe_sent=maybe_sent)
            attempts = outcome.deployment.attempts if counts_as_attempt else deployment.attempts
            return replace(outcome, deployment=replace(outcome.deployment, attempts=attempts))
        case HoldAccount():
            hold = Hold(error.kind, error.message, error.hint)
            outcome = retry_deployment_later(deployment, failure, until=now, maybe_sent=maybe_sent)
            return replace(outcome, label="held", account_update=AccountHeld(hold))
        case FailJob() if deployment.state is DeploymentState.WANTED:
            return refuse_deployment(deployment, failure, now=now)
        case FailJob():
            return start_stop(deployment, StopReason.FAILED, now=now, failure=failure)
        case _:
            assert_never(decision)


def _build_failure(kind: str, remote: RemoteDeployment, what: str, hint: str) -> Failure:
    reason = remote.message or f"its status is {remote.raw_status}"
    return Failure(kind, f"the deployment {remote.id} {what} at the provider: {reason}", hint, remote.request_id)
