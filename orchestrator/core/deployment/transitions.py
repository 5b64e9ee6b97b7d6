"""The functions that change a deployment. Each returns its next version; the old Deployment is untouched."""

# Theory of operation
#
# As for jobs (core/jobs/transitions.py): every function increments the version exactly once, the store writes the
# result with a compare and set, and a stale outcome is dropped. Two rules are added.
#
# * No wake-up is later than the expiry. `_at_most_expiry` limits every `wake_at` of a deployment that may exist, also
#   that of a hold and of a retry, and gives one to a deployment that would sleep without an end. So a deployment is
#   looked at when it expires, whatever happened to it before.
# * `request_stop` is the only change that an operator can make while a create is in progress. It writes `stop_reason`
#   and `wake_at` alone, so that `rebase_on_stop` can put the answer of the create on top of it.
#
# The expiry is written by `start_create`, once. A renewed intent, a retry and a restart do not move it. The end that
# the provider states, and an earlier create of the same deployment, can only shorten it. Only `extend_expiry`, an
# action of an operator, makes it later.
#
# Nothing concludes from one empty look-up that a deployment does not exist: `record_missing` needs a second one,
# ABSENCE_CONFIRMATION_SECONDS later, because lists lag and a deployment that is wrongly believed gone is billed on.

from __future__ import annotations

from typing import Any, Final

from orchestrator.core.account_state import AccountUpdate
from orchestrator.core.deployment.cost import add_ended_round
from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.lifecycle import (
    MAY_EXIST_STATES,
    TERMINAL_DEPLOYMENT_STATES,
    DeploymentEvent,
    DeploymentState,
    next_deployment_state,
)
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import Failure, IllegalTransition, RemoteNotFound
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.next_action import INTENT_GRACE_SECONDS
from orchestrator.core.structs import Struct, replace

OPTION_NOT_KEPT_KIND: Final = "deployment_option_not_kept"
OPTION_NOT_KEPT_HINT: Final = (
    "No action needed: the service stops the deployment when it expires. Undeploy it earlier."
)
ABSENCE_CONFIRMATION_SECONDS: Final = 60.0
"""The time between two look-ups without a result, after which the deployment does not exist."""
INTENT_DEPLOYMENT_STATES: Final = frozenset(
    {DeploymentState.WANTED, DeploymentState.CREATING, DeploymentState.STOPPING}
)
"""The states in which a create may still arrive at the provider."""


class DeploymentOutcome(Struct, frozen=True, kw_only=True):
    """The result of a step: the deployment's next version, and what is recorded together with it."""

    deployment: Deployment  # the next version
    previous_state: DeploymentState
    label: str | None  # the note of the history's line; None: not worth a line
    failure: Failure | None = None  # what the history's line shows
    request_id: str | None = None  # the provider's id of the request, for its support
    account_update: AccountUpdate | None = None  # what the step changes in the account


def get_intent_end(deployment: Deployment) -> float:
    """Return the time from which on an empty look-up means that no create is on its way; 0 without an intent."""
    if deployment.state not in INTENT_DEPLOYMENT_STATES or deployment.intent_until is None:
        return 0.0
    return deployment.intent_until + INTENT_GRACE_SECONDS


def start_create(deployment: Deployment, *, now: float, intent_until: float) -> DeploymentOutcome:
    """Write the intent of a create, and with the first one the expiry. In CREATING: the intent of another attempt."""
    if deployment.state is DeploymentState.CREATING:
        return _change(deployment, intent_until=intent_until, wake_at=intent_until)
    return advance_deployment(
        deployment,
        DeploymentEvent.CREATE_STARTED,
        now=now,
        intent_until=intent_until,
        wake_at=intent_until,
        expires_at=now + deployment.spec.keep_seconds,
        create_started_at=now,
    )


def record_created(deployment: Deployment, remote: RemoteDeployment, *, now: float) -> DeploymentOutcome:
    """Record the remote deployment that was created or found. An earlier create means an earlier expiry.

    A warning of the provider's answer is recorded and logged once; the next poll clears it.
    """
    assert deployment.expires_at is not None  # written with the intent
    ends = [deployment.expires_at]
    if remote.created_at is not None:
        ends.append(remote.created_at + deployment.spec.keep_seconds)
    if remote.expires_at is not None:
        ends.append(remote.expires_at)
    return advance_deployment(
        deployment,
        DeploymentEvent.CREATED,
        now=now,
        request_id=remote.request_id,
        intent_until=None,
        missing_since=None,
        expires_at=min(ends),
        failure=Failure(OPTION_NOT_KEPT_KIND, remote.warning, OPTION_NOT_KEPT_HINT) if remote.warning else None,
        **describe_remote(deployment, remote),
    )


def describe_remote(deployment: Deployment, remote: RemoteDeployment) -> dict[str, Any]:
    """Return the fields that a remote deployment describes. What it does not report stays as it is.

    So does the source of a known price: that the provider reports no price is not where it comes from.
    """
    is_priced = remote.usd_per_hour is not None or deployment.usd_per_hour is None
    reported = {
        "remote_id": remote.id,
        "remote_status": remote.raw_status,
        "model_string": remote.model_string,
        "base_url": remote.base_url,
        "usd_per_hour": remote.usd_per_hour,
        "price_source": remote.price_source if is_priced else None,
    }
    return {name: getattr(deployment, name) if value is None else value for name, value in reported.items()}


def record_answer(deployment: Deployment, *, now: float, wake_at: float) -> DeploymentOutcome:
    """Record that a real call was answered: the deployment is ready, or still is."""
    if deployment.state is DeploymentState.READY:
        return poll_deployment_again(deployment, wake_at)
    ready_at = deployment.ready_at or now
    return advance_deployment(
        deployment, DeploymentEvent.CALL_ANSWERED, now=now, wake_at=wake_at, ready_at=ready_at, missing_since=None
    )


def record_refusal(deployment: Deployment, failure: Failure, *, now: float, wake_at: float) -> DeploymentOutcome:
    """Record that a call was refused, or a problem reported. A deployment that was ready is degraded."""
    if deployment.state is DeploymentState.READY:
        return advance_deployment(
            deployment, DeploymentEvent.CALL_REFUSED, now=now, wake_at=wake_at, failure=failure, missing_since=None
        )
    return _change(deployment, wake_at=wake_at, failure=failure, missing_since=None, attempts=0)


def record_missing(deployment: Deployment, *, now: float) -> DeploymentOutcome:
    """Record a look-up without a result. The second one confirms that nothing exists, and ends the deployment."""
    since = deployment.missing_since
    if since is None or now < since + ABSENCE_CONFIRMATION_SECONDS:
        since = since or now
        return _change(deployment, missing_since=since, wake_at=since + ABSENCE_CONFIRMATION_SECONDS, attempts=0)
    if deployment.state is not DeploymentState.STOPPING:
        message = f"the provider no longer has the deployment {deployment.remote_id}"
        hint = "Request the deployment again if it is still needed; the fine-tuned model is kept."
        return advance_deployment(
            deployment, DeploymentEvent.DISAPPEARED, now=now, failure=Failure(RemoteNotFound.kind, message, hint)
        )
    if deployment.stop_reason is StopReason.CONFLICT and not deployment.is_expired(now):
        return _start_round(
            deployment, DeploymentEvent.REMOVED_BEFORE_RETRY, now=now, approved_at=deployment.approved_at
        )
    if deployment.stop_reason is StopReason.FAILED:
        return advance_deployment(
            deployment, DeploymentEvent.REMOVED_AFTER_FAILURE, now=now, failure=deployment.failure
        )
    return advance_deployment(deployment, DeploymentEvent.REMOVED, now=now)


def refuse_deployment(deployment: Deployment, failure: Failure, *, now: float) -> DeploymentOutcome:
    """Fail a deployment for which nothing was sent, for example because its model cannot be served."""
    return advance_deployment(deployment, DeploymentEvent.REFUSED, now=now, failure=failure)


def withdraw_deployment(deployment: Deployment, *, now: float) -> DeploymentOutcome:
    """End a deployment for which nothing was sent, because a stop was requested."""
    return advance_deployment(deployment, DeploymentEvent.WITHDRAWN, now=now)


def start_stop(
    deployment: Deployment, reason: StopReason, *, now: float, failure: Failure | None = None
) -> DeploymentOutcome:
    """Start the removal. A possible create on its way keeps its intent: the removal is confirmed after its end."""
    kept = failure or (deployment.failure if reason is StopReason.FAILED else None)
    return advance_deployment(
        deployment,
        DeploymentEvent.STOP_STARTED,
        now=now,
        stop_reason=reason,
        failure=kept,
        intent_until=deployment.intent_until,
        missing_since=None,
    )


def request_stop(deployment: Deployment, *, now: float) -> DeploymentOutcome:
    """Record an operator's request to stop. It is carried out by the next step, also despite a hold.

    It must change nothing but `stop_reason` and `wake_at`, see `rebase_on_stop`.
    """
    wake_at = None if deployment.state in TERMINAL_DEPLOYMENT_STATES else now
    # A removal after a conflict would end in another create, so the operator's request replaces its reason.
    reason = StopReason.REQUESTED if deployment.needs_stop_request else deployment.stop_reason
    return _change(deployment, "stop requested", stop_reason=reason, wake_at=wake_at)


def rebase_on_stop(outcome: DeploymentOutcome, latest: Deployment, *, now: float) -> DeploymentOutcome | None:
    """Put an attempt's outcome on top of a stop that was requested meanwhile; None if anything else changed."""
    deployment = outcome.deployment
    if latest.version != deployment.version or deployment.stop_reason is not None or latest.stop_reason is None:
        return None
    due = None if deployment.state in TERMINAL_DEPLOYMENT_STATES else now
    rebased = replace(deployment, version=latest.version + 1, stop_reason=latest.stop_reason, wake_at=due)
    return replace(outcome, deployment=rebased)


def request_again(deployment: Deployment, *, now: float) -> DeploymentOutcome:
    """Request an ended deployment again. It gets a new tag, and a new expiry with its create.

    What it has cost until now stays with it, see `add_ended_round`.
    """
    return _start_round(deployment, DeploymentEvent.REQUESTED_AGAIN, now=now)


def _start_round(deployment: Deployment, event: DeploymentEvent, *, now: float, **kept: Any) -> DeploymentOutcome:
    # The cost is calculated from the fields that are cleared, and before a caller replaces the price.
    changes = dict.fromkeys(_FIELDS_OF_A_ROUND) | add_ended_round(deployment, now=now) | kept
    return advance_deployment(
        deployment,
        event,
        now=now,
        round=deployment.round + 1,
        wake_at=now,
        ended_at=None,
        intent_until=None,
        **changes,
    )


_FIELDS_OF_A_ROUND: Final = (
    "expires_at",
    "stop_reason",
    "remote_id",
    "remote_status",
    "model_string",
    "base_url",
    "approved_at",
    "create_started_at",
    "ready_at",
    "missing_since",
)


def record_reappearance(deployment: Deployment, remote: RemoteDeployment, *, now: float) -> DeploymentOutcome:
    """Record that an ended deployment exists after all: it is removed."""
    return advance_deployment(
        deployment,
        DeploymentEvent.REAPPEARED,
        now=now,
        wake_at=now,
        ended_at=None,
        stop_reason=StopReason.FOUND_AFTER_END,
        missing_since=None,
        expires_at=min(deployment.expires_at or now, now),
        **describe_remote(deployment, remote),
    )


def extend_expiry(deployment: Deployment, expires_at: float, *, now: float) -> DeploymentOutcome:
    """Move the expiry, by an operator's decision. Raises IllegalTransition once a stop has begun or is requested."""
    if deployment.stop_reason is not None or deployment.expires_at is None or expires_at <= now:
        raise IllegalTransition(f"the expiry of a deployment that is {deployment.state} cannot be moved")
    return _change(deployment, "expiry moved", expires_at=expires_at, wake_at=now)


def poll_deployment_again(deployment: Deployment, until: float, **changes: Any) -> DeploymentOutcome:
    """Record a poll without a transition; the next one is at `until`."""
    return _change(deployment, wake_at=until, attempts=0, failure=None, missing_since=None, **changes)


def record_removal_progress(deployment: Deployment, remote: RemoteDeployment, *, until: float) -> DeploymentOutcome:
    """Record that the deployment still exists while it is removed. The reason of the removal is kept."""
    return _change(
        deployment,
        wake_at=until,
        attempts=0,
        missing_since=None,
        remote_id=remote.id,
        remote_status=remote.raw_status,
    )


def retry_deployment_later(
    deployment: Deployment, failure: Failure, *, until: float, maybe_sent: bool
) -> DeploymentOutcome:
    """Record a failed call that is retried at `until`. An intent ends here unless the create may have been sent.

    A deployment that is removed because it failed keeps the failure that is its reason.
    """
    keeps_intent = maybe_sent or deployment.state is DeploymentState.STOPPING
    outcome = _change(
        deployment,
        "tried again later",
        failure=deployment.failure if deployment.stop_reason is StopReason.FAILED else failure,
        wake_at=until,
        attempts=deployment.attempts + 1,
        intent_until=deployment.intent_until if keeps_intent else None,
    )
    return replace(outcome, failure=failure, request_id=failure.request_id)


def sleep_deployment_until(deployment: Deployment, until: float | None) -> DeploymentOutcome:
    """Let the deployment sleep until `until`, its expiry, or until something wakes it."""
    return _change(deployment, wake_at=until)


def hold_deployment(deployment: Deployment, hold: Hold, *, wake_at: float | None = None) -> DeploymentOutcome:
    """Put the deployment on hold. It wakes at `wake_at`, else the hold's end; at its expiry; or for an operator."""
    wakes_at = hold.until if wake_at is None else wake_at
    return _change(deployment, "held", failure=hold.failure, hold=hold, wake_at=wakes_at)


def release_deployment(deployment: Deployment, *, now: float, approved: bool = False) -> DeploymentOutcome:
    """Release the hold; `approved`: an operator has accepted the price."""
    approved_at = now if approved else deployment.approved_at
    return _change(deployment, "released", hold=None, failure=None, attempts=0, wake_at=now, approved_at=approved_at)


def advance_deployment(
    deployment: Deployment, event: DeploymentEvent, *, now: float, request_id: str | None = None, **changes: Any
) -> DeploymentOutcome:
    """Move the deployment to the next state. Raises IllegalTransition if `event` cannot happen in its state."""
    state = next_deployment_state(deployment.state, event)
    ended = state in TERMINAL_DEPLOYMENT_STATES
    values: dict[str, Any] = {
        "state": state,
        "version": deployment.version + 1,
        "attempts": 0,
        "failure": None,
        "state_since": now,
        "wake_at": None if ended else now,
        "ended_at": now if ended else None,
    }
    if ended:
        values["intent_until"] = None  # an end is confirmed after the intent's end
    after = _at_most_expiry(replace(deployment, **(values | changes)))
    return DeploymentOutcome(
        deployment=after,
        previous_state=deployment.state,
        label=event,
        failure=after.failure,
        request_id=request_id,
    )


def _change(deployment: Deployment, label: str | None = None, **changes: Any) -> DeploymentOutcome:
    """Build the next version in the same state."""
    after = _at_most_expiry(replace(deployment, version=deployment.version + 1, **changes))
    failure = after.failure if label else None
    return DeploymentOutcome(deployment=after, previous_state=deployment.state, label=label, failure=failure)


def _at_most_expiry(deployment: Deployment) -> Deployment:
    """Limit the wake-up to the time at which the deployment has to be stopped. Without a limit it could be forgotten.

    Before the end of an intent nothing can be done, so a wake-up before it would only repeat itself.
    """
    if deployment.state not in MAY_EXIST_STATES or deployment.state is DeploymentState.STOPPING:
        return deployment
    assert deployment.expires_at is not None  # see Deployment.__post_init__
    limit = max(deployment.expires_at, get_intent_end(deployment))
    return replace(deployment, wake_at=min(deployment.wake_at or limit, limit))
