"""Every state, under every circumstance, against a table written independently of the code."""

from __future__ import annotations

from itertools import product

import pytest
from core_values import FOR_EVER, NOW, a_job, a_run, a_standing

from orchestrator.core.action import (
    GRACE,
    Abandon,
    Action,
    CheckFile,
    Circumstances,
    Follow,
    Rest,
    Settle,
    Stop,
    Submit,
    Upload,
    Verify,
    Wait,
    holds_on,
    next_action,
)
from orchestrator.core.hold import REMOVED, SUPERSEDED, Hold
from orchestrator.core.lifecycle import ENDS, UNSENT, State

ALL_WELL = Circumstances()
ACTIONS: dict[State, tuple[Action, Action]] = {
    State.PLANNED: (Upload(), Abandon()),
    State.UPLOADING: (Upload(), Abandon()),
    State.PROCESSING: (CheckFile(), Abandon()),
    State.READY: (Submit(), Abandon()),
    State.SUBMITTING: (Submit(), Settle()),
    State.QUEUED: (Follow(), Stop()),
    State.RUNNING: (Follow(), Stop()),
    State.CANCELLING: (Stop(), Stop()),
    State.SUCCEEDED: (Rest(), Rest()),
    State.CANCELLED: (Rest(), Rest()),
    State.FAILED: (Rest(), Rest()),
}
"""What a state needs when all is well, and what it needs when a cancel was asked."""

HOLDS: dict[str, tuple[Hold, ...]] = {
    "none": (),
    "over": (Hold("quota", "r", "h", NOW),),
    "timed": (Hold("quota", "r", "h", NOW + 0.1),),
    "for ever": (FOR_EVER,),
    "one of two": (Hold("quota", "r", "h", NOW - 1), FOR_EVER),
}
SITUATIONS = list(product(State, [False, True], HOLDS, [False, True], [False, True], [False, True], [False, True]))


def expected(
    state: State, cancel: bool, held: bool, under_way: bool, verified: bool, started: bool, slot: bool
) -> Action:
    """The rules in words: an intent first, then a cancel, then a hold, then verification, start and slot."""
    if under_way and state in {State.PLANNED, State.UPLOADING, State.SUBMITTING}:
        return Wait(NOW + 10 + GRACE)
    go_on, wind_down = ACTIONS[state]
    if cancel:
        return wind_down
    if held:
        return Rest()
    if state is State.PLANNED and not verified:
        return Verify()
    if state is State.READY and not (started and slot):
        return Rest()
    return go_on


@pytest.mark.parametrize("state", State)
def test_every_situation(state: State) -> None:
    for _, cancel, holds, under_way, verified, started, slot in [s for s in SITUATIONS if s[0] is state]:
        job = a_job(state, cancel_asked=cancel, intent_until=NOW + 10 if under_way else None)
        around = Circumstances(verified=verified, started=started, slot_free=slot, holds=HOLDS[holds])
        held = holds in {"timed", "for ever", "one of two"}
        assert next_action(job, around, NOW) == expected(state, cancel, held, under_way, verified, started, slot), (
            f"{state=!s} {cancel=} {holds=} {under_way=} {verified=} {started=} {slot=}"
        )


@pytest.mark.parametrize("state", [State.PLANNED, State.UPLOADING, State.SUBMITTING])
@pytest.mark.parametrize("cancel", [False, True])
def test_an_intent_is_believed_until_its_deadline_and_the_grace_are_over(state: State, cancel: bool) -> None:
    job = a_job(state, intent_until=NOW, cancel_asked=cancel)
    assert next_action(job, ALL_WELL, NOW + GRACE - 0.001) == Wait(NOW + GRACE)
    assert next_action(job, ALL_WELL, NOW + GRACE) == ACTIONS[state][cancel]


@pytest.mark.parametrize("cancel", [False, True])
def test_what_a_person_chose_is_looked_at_and_nothing_is_created(cancel: bool) -> None:
    chosen = a_job(State.SUBMITTING, remote_job_id="ftjob-1", cancel_asked=cancel)
    assert next_action(chosen, ALL_WELL, NOW) == Settle()


@pytest.mark.parametrize("state", sorted(ENDS))
def test_an_end_needs_nothing(state: State) -> None:
    assert next_action(a_job(state, cancel_asked=True, intent_until=NOW + 9), ALL_WELL, NOW) == Rest()


@pytest.mark.parametrize("state", State)
def test_what_sets_a_job_aside(state: State) -> None:
    own, of_account, of_run = (Hold(kind, "r", "h") for kind in ("own", "account", "run"))
    job, standing = a_job(state, hold=own), a_standing(hold=of_account, removed_at=NOW)
    kinds = [hold.kind for hold in holds_on(job, a_run(hold=of_run, current=False), standing)]
    unsent = ["run", SUPERSEDED.kind] if state in UNSENT else []
    assert kinds == ["own", "account", REMOVED.kind, *unsent]


@pytest.mark.parametrize("state", State)
def test_nothing_sets_it_aside(state: State) -> None:
    assert holds_on(a_job(state), a_run(), a_standing()) == ()
