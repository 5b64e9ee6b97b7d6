"""The states of a job, the events that can happen to it, and the table that connects them.

docs/states.md is generated from this module.
"""

# Theory of operation
#
# A job's life is one table, TRANSITIONS: for each state, the events that can happen in it and the state they lead to.
# Everything that changes a job's state goes through `next_state` (called by `transitions.advance`), so the table is
# the whole truth: an event that a state does not list raises IllegalTransition and changes nothing. Terminal states
# are keys as well, some with an empty row, so that no state can be forgotten: a test compares the keys with the enum.
#
# The states follow what the provider knows of the job, because that decides what a failed call may have cost:
#
#   PLANNED, UPLOADING, PROCESSING, READY    UNSUBMITTED_STATES: no remote job exists. A cancel is local, the holds of
#                                            the run apply, and another plan may still replace the job.
#   SUBMITTING                               the only state in which money may be spent before it is recorded.
#   QUEUED, RUNNING, CANCELLING              the provider has the remote job; only the provider can end it.
#   SUCCEEDED, CANCELLED, FAILED             TERMINAL_STATES: nothing changes any more, except that an operator may
#                                            retry a failed job.
#
# UPLOADING and SUBMITTING are written before their call is made (an intent), together with a deadline in the job's
# `intent_until`. A process that dies between the intent and its answer leaves the job in one of the two. The replica
# that takes the job over sees from the state that the call may have happened. It waits until the deadline has passed,
# looks the file or the remote job up by its tag, and only creates what is certainly not there. Without these two
# states a crash at the wrong moment would train, and bill, a job twice.
#
# Three consequences of that for the table:
#
# * SUBMITTING has no transition on a requested cancel. The create may have happened, so the remote job is resolved
#   first: the cancel then goes through QUEUED (cancel at the provider) or to CANCELLED (nothing was created). In the
#   same way a job goes back to READY that may not be created any more, because its run was held or replaced.
# * CANCELLING still accepts success and failure: a provider may finish a job before it handles the cancel.
# * READY cannot fail: nothing is sent in it. Its next step writes the intent and thereby leaves it.
#
# Waiting is not a state. A job that waits for a retry, for a poll, for a slot or for an operator keeps its state; its
# `wake_at`, `attempts` and `hold` describe the wait. Otherwise each state would exist once for each reason to wait.
#
# AT_PROVIDER_STATES are those that take one of the account's job slots. SUBMITTING is one of them: a create whose
# answer was lost may already occupy the slot.
#
# The values of both enums are stored in the database and shown in `/status`: they stay, whatever the members are
# called. A new state needs a row in TRANSITIONS, a description here, a row in `stall.WAIT_DESCRIPTIONS`, an arm in
# `next_action` (mypy's `assert_never` finds it) and a regenerated docs/states.md (a test compares it).

from __future__ import annotations

from enum import StrEnum
from typing import Final

from orchestrator.core.errors import IllegalTransition


class JobState(StrEnum):
    """The state of a job; docs/states.md describes each. The values are stored."""

    PLANNED = "planned"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    FAILED = "failed"


class JobEvent(StrEnum):
    """Something that happened to a job. The values are stored as notes of the history."""

    UPLOAD_STARTED = "upload started"
    FILE_UPLOADED = "file uploaded"
    FILE_READY = "file ready"
    FILE_ASSUMED_READY = "file assumed ready"
    FILE_REFUSED = "file refused"
    SUBMIT_STARTED = "submit started"
    SUBMIT_WITHDRAWN = "submit withdrawn"
    REMOTE_CREATED = "remote job created"
    REMOTE_STARTED = "remote started"
    REMOTE_SUCCEEDED = "remote succeeded"
    REMOTE_FAILED = "remote failed"
    REMOTE_CANCELLED = "remote cancelled"
    CANCEL_REQUESTED = "cancel asked"
    CANCELLED = "cancelled"
    FAILED = "gave up"
    RETRIED = "retried"


STATE_DESCRIPTIONS: Final[dict[JobState, str]] = {
    JobState.PLANNED: "Nothing has been sent.",
    JobState.UPLOADING: "The intent is written; the upload may be in progress.",
    JobState.PROCESSING: "The provider has the file and is checking it.",
    JobState.READY: "The file is ready; the job waits for a free slot or for `start`.",
    JobState.SUBMITTING: "The intent is written; the create may have happened. A cancel waits for its result.",
    JobState.QUEUED: "The provider has the job.",
    JobState.RUNNING: "The provider is training.",
    JobState.CANCELLING: "A cancel is requested and the provider has not confirmed it yet.",
    JobState.SUCCEEDED: "Final: the fine-tuned model exists.",
    JobState.CANCELLED: "Final: nothing runs at the provider.",
    JobState.FAILED: "Final, with kind, message and hint, unless an operator retries the job.",
}

# How the provider can end a job that it has. FAILED covers an end that is concluded here: the remote job is gone.
_REMOTE_OUTCOMES: Final = {
    JobEvent.REMOTE_SUCCEEDED: JobState.SUCCEEDED,
    JobEvent.REMOTE_FAILED: JobState.FAILED,
    JobEvent.REMOTE_CANCELLED: JobState.CANCELLED,
    JobEvent.FAILED: JobState.FAILED,
}

TRANSITIONS: Final[dict[JobState, dict[JobEvent, JobState]]] = {
    JobState.PLANNED: {
        JobEvent.UPLOAD_STARTED: JobState.UPLOADING,
        JobEvent.CANCELLED: JobState.CANCELLED,
        JobEvent.FAILED: JobState.FAILED,
    },
    JobState.UPLOADING: {
        JobEvent.FILE_UPLOADED: JobState.PROCESSING,
        JobEvent.CANCELLED: JobState.CANCELLED,
        JobEvent.FAILED: JobState.FAILED,
    },
    JobState.PROCESSING: {
        JobEvent.FILE_READY: JobState.READY,
        JobEvent.FILE_ASSUMED_READY: JobState.READY,
        JobEvent.FILE_REFUSED: JobState.FAILED,
        JobEvent.CANCELLED: JobState.CANCELLED,
        JobEvent.FAILED: JobState.FAILED,
    },
    JobState.READY: {
        JobEvent.SUBMIT_STARTED: JobState.SUBMITTING,
        JobEvent.CANCELLED: JobState.CANCELLED,
    },
    JobState.SUBMITTING: {
        JobEvent.REMOTE_CREATED: JobState.QUEUED,
        JobEvent.SUBMIT_WITHDRAWN: JobState.READY,
        JobEvent.CANCELLED: JobState.CANCELLED,
        JobEvent.FAILED: JobState.FAILED,
    },
    JobState.QUEUED: {
        JobEvent.REMOTE_STARTED: JobState.RUNNING,
        JobEvent.CANCEL_REQUESTED: JobState.CANCELLING,
        **_REMOTE_OUTCOMES,
    },
    JobState.RUNNING: {
        JobEvent.CANCEL_REQUESTED: JobState.CANCELLING,
        **_REMOTE_OUTCOMES,
    },
    JobState.CANCELLING: dict(_REMOTE_OUTCOMES),
    JobState.FAILED: {JobEvent.RETRIED: JobState.PLANNED},
    JobState.SUCCEEDED: {},
    JobState.CANCELLED: {},
}

TERMINAL_STATES: Final = frozenset({JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED})
UNSUBMITTED_STATES: Final = frozenset({JobState.PLANNED, JobState.UPLOADING, JobState.PROCESSING, JobState.READY})
AT_PROVIDER_STATES: Final = frozenset({JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING})
"""The states that take one of the account's job slots."""


def next_state(state: JobState, event: JobEvent) -> JobState:
    """Return the state that `event` leads to from `state`. Raises IllegalTransition if it cannot happen there."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"the event '{event}' cannot happen to a job that is {state}") from None
