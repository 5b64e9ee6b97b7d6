"""Tone: how a state looks. Colour is never the only sign: the word stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.lifecycle import STATE_DESCRIPTIONS, JobState
from orchestrator.status import HELD, JobView

STATE_TONES: Final[Mapping[str, str]] = {  # in the order of the progress bar and of the filters
    JobState.SUCCEEDED: "good",
    JobState.RUNNING: "busy",
    JobState.QUEUED: "busy",
    JobState.SUBMITTING: "busy",
    JobState.READY: "calm",
    JobState.PROCESSING: "calm",
    JobState.UPLOADING: "calm",
    JobState.PLANNED: "calm",
    JobState.CANCELLING: "off",
    JobState.CANCELLED: "off",
    HELD: "warn",
    JobState.FAILED: "bad",
}
STATE_MEANINGS: Final[Mapping[str, str]] = {state.value: text for state, text in STATE_DESCRIPTIONS.items()} | {
    HELD: "Set aside with a reason, until a person or a time releases it."
}


def displayed_state(job: JobView) -> str:
    """The state as it is counted and filtered: a job that is set aside is held, wherever it is."""
    return HELD if job.held else job.state
