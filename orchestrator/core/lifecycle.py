"""The life of a job: one table. Every state is a key, the end states too; what is not in the table cannot happen.

A miss raises `IllegalTransition`, names state and event, and changes nothing. Waiting is not a state: it is the
job's `wake_at`. docs/states.md is generated from this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from orchestrator.core.errors import IllegalTransition


class State(StrEnum):
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


class Event(StrEnum):
    """What happened to a job."""

    UPLOAD_STARTED = "upload started"
    FILE_UPLOADED = "file uploaded"
    FILE_READY = "file ready"
    FILE_ASSUMED = "file assumed ready"
    FILE_REFUSED = "file refused"
    SUBMIT_STARTED = "submit started"
    REMOTE_CREATED = "remote job created"
    REMOTE_STARTED = "remote started"
    REMOTE_SUCCEEDED = "remote succeeded"
    REMOTE_FAILED = "remote failed"
    REMOTE_CANCELLED = "remote cancelled"
    CANCEL_ASKED = "cancel asked"
    CANCELLED = "cancelled"
    GAVE_UP = "gave up"
    RETRIED = "retried"


MEANINGS: Final[dict[State, str]] = {
    State.PLANNED: "Nothing has been sent.",
    State.UPLOADING: "The intent is written; the upload may be under way.",
    State.PROCESSING: "The provider has the file and is checking it.",
    State.READY: "The file is ready; the job waits for a slot or for `start`.",
    State.SUBMITTING: "The intent is written; the create may have happened. A cancel waits for the outcome.",
    State.QUEUED: "The provider has the job.",
    State.RUNNING: "The provider is training.",
    State.CANCELLING: "A cancel was asked and the provider has not agreed yet.",
    State.SUCCEEDED: "The end: the fine-tuned model is there.",
    State.CANCELLED: "The end: nothing runs at the provider.",
    State.FAILED: "The end, with kind, message and hint, unless a person retries it.",
}

_FOLLOWED: Final = {
    Event.REMOTE_SUCCEEDED: State.SUCCEEDED,
    Event.REMOTE_FAILED: State.FAILED,
    Event.REMOTE_CANCELLED: State.CANCELLED,
    Event.GAVE_UP: State.FAILED,
}

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.PLANNED: {
        Event.UPLOAD_STARTED: State.UPLOADING,
        Event.CANCELLED: State.CANCELLED,
        Event.GAVE_UP: State.FAILED,
    },
    State.UPLOADING: {
        Event.FILE_UPLOADED: State.PROCESSING,
        Event.CANCELLED: State.CANCELLED,
        Event.GAVE_UP: State.FAILED,
    },
    State.PROCESSING: {
        Event.FILE_READY: State.READY,
        Event.FILE_ASSUMED: State.READY,
        Event.FILE_REFUSED: State.FAILED,
        Event.CANCELLED: State.CANCELLED,
        Event.GAVE_UP: State.FAILED,
    },
    State.READY: {
        Event.SUBMIT_STARTED: State.SUBMITTING,
        Event.CANCELLED: State.CANCELLED,
    },
    State.SUBMITTING: {
        Event.REMOTE_CREATED: State.QUEUED,
        Event.CANCELLED: State.CANCELLED,
        Event.GAVE_UP: State.FAILED,
    },
    State.QUEUED: {
        Event.REMOTE_STARTED: State.RUNNING,
        Event.CANCEL_ASKED: State.CANCELLING,
        **_FOLLOWED,
    },
    State.RUNNING: {
        Event.CANCEL_ASKED: State.CANCELLING,
        **_FOLLOWED,
    },
    State.CANCELLING: dict(_FOLLOWED),
    State.FAILED: {Event.RETRIED: State.PLANNED},
    State.SUCCEEDED: {},
    State.CANCELLED: {},
}

ENDS: Final = frozenset({State.SUCCEEDED, State.CANCELLED, State.FAILED})
UNSENT: Final = frozenset({State.PLANNED, State.UPLOADING, State.PROCESSING, State.READY})
AT_PROVIDER: Final = frozenset({State.SUBMITTING, State.QUEUED, State.RUNNING, State.CANCELLING})


def target(state: State, event: Event) -> State:
    """The state that `event` leads to from `state`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"'{event}' cannot happen to a job that is {state}") from None
