"""The table is the law of a job's life: what is written here a second time must be changed on purpose."""

from __future__ import annotations

from itertools import product

import pytest

from orchestrator.core.errors import IllegalTransition
from orchestrator.core.jobs.lifecycle import (
    AT_PROVIDER_STATES,
    STATE_DESCRIPTIONS,
    TERMINAL_STATES,
    TRANSITIONS,
    UNSUBMITTED_STATES,
    JobEvent,
    JobState,
    next_state,
)

LEGAL = """
planned     upload started      uploading
planned     cancelled           cancelled
planned     gave up             failed
uploading   file uploaded       processing
uploading   cancelled           cancelled
uploading   gave up             failed
processing  file ready          ready
processing  file assumed ready  ready
processing  file refused        failed
processing  cancelled           cancelled
processing  gave up             failed
ready       submit started      submitting
ready       cancelled           cancelled
submitting  remote job created  queued
submitting  submit withdrawn    ready
submitting  cancelled           cancelled
submitting  gave up             failed
queued      remote started      running
queued      cancel asked        cancelling
queued      remote succeeded    succeeded
queued      remote failed       failed
queued      remote cancelled    cancelled
queued      gave up             failed
running     cancel asked        cancelling
running     remote succeeded    succeeded
running     remote failed       failed
running     remote cancelled    cancelled
running     gave up             failed
cancelling  remote succeeded    succeeded
cancelling  remote failed       failed
cancelling  remote cancelled    cancelled
cancelling  gave up             failed
failed      retried             planned
"""
ROWS = [
    (JobState(line[:12].strip()), JobEvent(line[12:32].strip()), JobState(line[32:]))
    for line in LEGAL.strip().splitlines()
]
ILLEGAL = sorted(set(product(JobState, JobEvent)) - {(state, event) for state, event, _ in ROWS})


def test_every_state_is_a_key_and_has_a_meaning() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert set(STATE_DESCRIPTIONS) == set(JobState)


@pytest.mark.parametrize(("state", "event", "after"), ROWS)
def test_legal_transitions_reach_their_state(state: JobState, event: JobEvent, after: JobState) -> None:
    assert next_state(state, event) is after


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_illegal_transitions_are_refused(state: JobState, event: JobEvent) -> None:
    with pytest.raises(IllegalTransition) as caught:
        next_state(state, event)
    assert f"'{event}'" in str(caught.value)
    assert str(caught.value).endswith(state)
    assert caught.value.hint


def test_every_state_and_every_event_is_used() -> None:
    assert reached(JobState.PLANNED) == set(JobState)
    assert {event for _, event, _ in ROWS} == set(JobEvent)


@pytest.mark.parametrize("state", sorted(set(JobState) - TERMINAL_STATES))
def test_every_open_state_can_come_to_every_end(state: JobState) -> None:
    assert reached(state) >= TERMINAL_STATES


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_final_state_is_left_by_an_operator_only(state: JobState) -> None:
    assert set(TRANSITIONS[state]) <= {JobEvent.RETRIED}


def test_every_state_is_before_at_or_after_submission() -> None:
    assert set(JobState) == UNSUBMITTED_STATES | AT_PROVIDER_STATES | TERMINAL_STATES
    assert len(JobState) == len(UNSUBMITTED_STATES) + len(AT_PROVIDER_STATES) + len(TERMINAL_STATES)


def reached(state: JobState) -> set[JobState]:
    seen, frontier = {state}, [state]
    while frontier:
        new = set(TRANSITIONS[frontier.pop()].values()) - seen
        seen |= new
        frontier += new
    return seen
