"""The life of a job: one table. Every state is a key, the end states too; what is not in the table cannot happen.

A miss raises `IllegalTransition`, names state and event, and changes nothing. Waiting is not a state: it is the
job's `wake_at`. docs/states.md is generated from this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from orchestrator.core.errors import IllegalTransition


class JobState(StrEnum):
    """Where a job is."""

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
    """What happened to a job."""

    UPLOAD_STARTED = "upload started"
    FILE_UPLOADED = "file uploaded"
    FILE_READY = "file ready"
    FILE_ASSUMED_READY = "file assumed ready"
    FILE_REFUSED = "file refused"
    SUBMIT_STARTED = "submit started"
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
    JobState.UPLOADING: "The intent is written; the upload may be under way.",
    JobState.PROCESSING: "The provider has the file and is checking it.",
    JobState.READY: "The file is ready; the job waits for a slot or for `start`.",
    JobState.SUBMITTING: "The intent is written; the create may have happened. A cancel waits for the outcome.",
    JobState.QUEUED: "The provider has the job.",
    JobState.RUNNING: "The provider is training.",
    JobState.CANCELLING: "A cancel was asked and the provider has not agreed yet.",
    JobState.SUCCEEDED: "The end: the fine-tuned model is there.",
    JobState.CANCELLED: "The end: nothing runs at the provider.",
    JobState.FAILED: "The end, with kind, message and hint, unless a person retries it.",
}

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


def next_state(state: JobState, event: JobEvent) -> JobState:
    """The state that `event` leads to from `state`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"'{event}' cannot happen to a job that is {state}") from None
