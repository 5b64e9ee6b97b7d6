"""Tone: how a state looks. Colour is never the only sign: the word stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.lifecycle import MEANINGS, State
from orchestrator.status import HELD, JobView

TONES: Final[Mapping[str, str]] = {  # in the order of the progress bar and of the filters
    State.SUCCEEDED: "good",
    State.RUNNING: "busy",
    State.QUEUED: "busy",
    State.SUBMITTING: "busy",
    State.READY: "calm",
    State.PROCESSING: "calm",
    State.UPLOADING: "calm",
    State.PLANNED: "calm",
    State.CANCELLING: "off",
    State.CANCELLED: "off",
    HELD: "warn",
    State.FAILED: "bad",
}
MEANING: Final[Mapping[str, str]] = {state.value: text for state, text in MEANINGS.items()} | {
    HELD: "Set aside with a reason, until a person or a time releases it."
}


def shown_state(job: JobView) -> str:
    """The state as it is counted and filtered: a job that is set aside is held, wherever it is."""
    return HELD if job.held else job.state
