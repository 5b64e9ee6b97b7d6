"""The states of a deployment, the events that can happen to it, and the table that connects them."""

# Theory of operation
#
# A deployment's life is one table, TRANSITIONS, used in the same way as that of a job (core/jobs/lifecycle.py):
# everything that changes the state goes through `next_deployment_state`, and an event that a state does not list
# raises IllegalTransition. The table differs from that of jobs because a job ends by itself and a deployment does
# not: one that is forgotten is billed by the hour until somebody notices. Four rules follow.
#
# * The states of MAY_EXIST_STATES are those in which something of ours may exist, and be billed, at the provider. A
#   deployment in one of them always has an `expires_at`: it is written together with CREATING, so before anything is
#   sent. The database has the same rule as a constraint.
# * A terminal state means that a look-up found nothing at the provider. Therefore every failure after the create was
#   started leads to STOPPING first, which looks up, deletes and confirms the removal. Only then the deployment is
#   FAILED. The exception is WANTED, in which nothing was sent.
# * STOPPING also leads back to WANTED: a create that failed only because of a conflict with another operation of the
#   account leaves something behind, which is removed before the create is tried again.
# * STOPPING has no event for giving up. A delete that fails is tried again without an end, and is reported.
#
# CREATING is an intent, as SUBMITTING is for jobs: the create may have happened, and may still arrive at the provider
# until `intent_until`. STOPPING can follow it directly, so the intent can last into STOPPING: the removal is only
# confirmed after it has ended.
#
# READY means that one real call of one token was answered. Every provider has a time in which it reports the
# deployment as running and refuses its calls. A deployment that scales to zero stays READY: its first call wakes it.
#
# GONE is an end by the provider: a deployment without calls, a tier of 24 hours, a retired base model. A terminal
# deployment that is found again (a list lagged, or a create arrived late) goes back to STOPPING, never to READY.
#
# The values of both enums are stored: they stay, whatever the members are called. A new state needs a row in
# TRANSITIONS, a description, and an arm in `next_deployment_action` (mypy's `assert_never` finds it).

from __future__ import annotations

from enum import StrEnum
from typing import Final

from orchestrator.core.errors import IllegalTransition


class DeploymentState(StrEnum):
    """The state of a deployment. The values are stored."""

    WANTED = "wanted"
    CREATING = "creating"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"
    FAILED = "failed"


class DeploymentEvent(StrEnum):
    """Something that happened to a deployment. The values are stored as notes of the history."""

    CREATE_STARTED = "create started"
    CREATED = "deployment created"
    CALL_ANSWERED = "call answered"
    CALL_REFUSED = "call refused"
    DISAPPEARED = "deployment gone"
    STOP_STARTED = "stop started"
    REMOVED = "deployment removed"
    REMOVED_AFTER_FAILURE = "removed after failure"
    REMOVED_BEFORE_RETRY = "removed before a retry"
    WITHDRAWN = "request withdrawn"
    REFUSED = "request refused"
    REQUESTED_AGAIN = "deployment requested again"
    REAPPEARED = "deployment found again"


DEPLOYMENT_STATE_DESCRIPTIONS: Final[dict[DeploymentState, str]] = {
    DeploymentState.WANTED: "Nothing has been sent; the expiry is not running.",
    DeploymentState.CREATING: "The intent and the expiry are written; the create may have happened.",
    DeploymentState.STARTING: "The provider has the deployment; no call has been answered yet.",
    DeploymentState.READY: "A real call was answered. A deployment that scales to zero wakes with its first call.",
    DeploymentState.DEGRADED: "It was ready, and the provider reports a problem or refuses calls.",
    DeploymentState.STOPPING: "The removal is requested and not confirmed yet. It is tried until it succeeds.",
    DeploymentState.STOPPED: "Final: removed by the service; a look-up found nothing at the provider.",
    DeploymentState.GONE: "Final: removed by the provider, for example after a time without calls.",
    DeploymentState.FAILED: "Final, with kind, message and hint: nothing of it exists at the provider.",
}

# What can end a deployment that the provider has.
_ENDS_AT_PROVIDER: Final = {
    DeploymentEvent.STOP_STARTED: DeploymentState.STOPPING,
    DeploymentEvent.DISAPPEARED: DeploymentState.GONE,
}
# What can happen after the end.
_AFTER_THE_END: Final = {
    DeploymentEvent.REQUESTED_AGAIN: DeploymentState.WANTED,
    DeploymentEvent.REAPPEARED: DeploymentState.STOPPING,
}

DEPLOYMENT_TRANSITIONS: Final[dict[DeploymentState, dict[DeploymentEvent, DeploymentState]]] = {
    DeploymentState.WANTED: {
        DeploymentEvent.CREATE_STARTED: DeploymentState.CREATING,
        DeploymentEvent.WITHDRAWN: DeploymentState.STOPPED,
        DeploymentEvent.REFUSED: DeploymentState.FAILED,
    },
    DeploymentState.CREATING: {
        DeploymentEvent.CREATED: DeploymentState.STARTING,
        DeploymentEvent.STOP_STARTED: DeploymentState.STOPPING,
    },
    DeploymentState.STARTING: {DeploymentEvent.CALL_ANSWERED: DeploymentState.READY, **_ENDS_AT_PROVIDER},
    DeploymentState.READY: {DeploymentEvent.CALL_REFUSED: DeploymentState.DEGRADED, **_ENDS_AT_PROVIDER},
    DeploymentState.DEGRADED: {DeploymentEvent.CALL_ANSWERED: DeploymentState.READY, **_ENDS_AT_PROVIDER},
    DeploymentState.STOPPING: {
        DeploymentEvent.REMOVED: DeploymentState.STOPPED,
        DeploymentEvent.REMOVED_AFTER_FAILURE: DeploymentState.FAILED,
        DeploymentEvent.REMOVED_BEFORE_RETRY: DeploymentState.WANTED,
    },
    DeploymentState.STOPPED: dict(_AFTER_THE_END),
    DeploymentState.GONE: dict(_AFTER_THE_END),
    DeploymentState.FAILED: dict(_AFTER_THE_END),
}

TERMINAL_DEPLOYMENT_STATES: Final = frozenset({DeploymentState.STOPPED, DeploymentState.GONE, DeploymentState.FAILED})
AT_PROVIDER_DEPLOYMENT_STATES: Final = frozenset(
    {DeploymentState.STARTING, DeploymentState.READY, DeploymentState.DEGRADED}
)
MAY_EXIST_STATES: Final = AT_PROVIDER_DEPLOYMENT_STATES | {DeploymentState.CREATING, DeploymentState.STOPPING}
"""The states in which something of ours may exist, and be billed, at the provider."""


def next_deployment_state(state: DeploymentState, event: DeploymentEvent) -> DeploymentState:
    """Return the state that `event` leads to from `state`. Raises IllegalTransition if it cannot happen there."""
    try:
        return DEPLOYMENT_TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"the event '{event}' cannot happen to a deployment that is {state}") from None
