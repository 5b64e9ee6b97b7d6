"""The table is the law of a job's life: what is written here a second time must be changed on purpose."""

from __future__ import annotations

from itertools import product

import pytest

from orchestrator.core.errors import IllegalTransition
from orchestrator.core.lifecycle import AT_PROVIDER, ENDS, MEANINGS, TRANSITIONS, UNSENT, Event, State, target

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
    (State(line[:12].strip()), Event(line[12:32].strip()), State(line[32:])) for line in LEGAL.strip().splitlines()
]
ILLEGAL = sorted(set(product(State, Event)) - {(state, event) for state, event, _ in ROWS})


def test_every_state_is_a_key_and_has_a_meaning() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set(MEANINGS) == set(State)


@pytest.mark.parametrize(("state", "event", "after"), ROWS)
def test_legal(state: State, event: Event, after: State) -> None:
    assert target(state, event) is after


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_illegal(state: State, event: Event) -> None:
    with pytest.raises(IllegalTransition) as caught:
        target(state, event)
    assert f"'{event}'" in str(caught.value)
    assert str(caught.value).endswith(state)
    assert caught.value.hint


def test_every_state_and_every_event_is_used() -> None:
    assert reached(State.PLANNED) == set(State)
    assert {event for _, event, _ in ROWS} == set(Event)


@pytest.mark.parametrize("state", sorted(set(State) - ENDS))
def test_every_open_state_can_come_to_every_end(state: State) -> None:
    assert reached(state) >= ENDS


@pytest.mark.parametrize("state", sorted(ENDS))
def test_an_end_is_left_by_a_person_only(state: State) -> None:
    assert set(TRANSITIONS[state]) <= {Event.RETRIED}


def test_every_state_is_before_at_or_after_the_provider() -> None:
    assert set(State) == UNSENT | AT_PROVIDER | ENDS
    assert len(State) == len(UNSENT) + len(AT_PROVIDER) + len(ENDS)


def reached(state: State) -> set[State]:
    seen, frontier = {state}, [state]
    while frontier:
        new = set(TRANSITIONS[frontier.pop()].values()) - seen
        seen |= new
        frontier += new
    return seen
