"""The table is the law of a deployment's life: what is written here a second time must be changed on purpose."""

from __future__ import annotations

from itertools import product

import pytest

from orchestrator.core.deployment.lifecycle import (
    AT_PROVIDER_DEPLOYMENT_STATES,
    DEPLOYMENT_STATE_DESCRIPTIONS,
    DEPLOYMENT_TRANSITIONS,
    MAY_EXIST_STATES,
    TERMINAL_DEPLOYMENT_STATES,
    DeploymentEvent,
    DeploymentState,
    next_deployment_state,
)
from orchestrator.core.errors import IllegalTransition

LEGAL = """
wanted    create started              creating
wanted    request withdrawn           stopped
wanted    request refused             failed
creating  deployment created          starting
creating  stop started                stopping
starting  call answered               ready
starting  stop started                stopping
starting  deployment gone             gone
ready     call refused                degraded
ready     stop started                stopping
ready     deployment gone             gone
degraded  call answered               ready
degraded  stop started                stopping
degraded  deployment gone             gone
stopping  deployment removed          stopped
stopping  removed after failure       failed
stopping  removed before a retry      wanted
stopped   deployment requested again  wanted
stopped   deployment found again      stopping
gone      deployment requested again  wanted
gone      deployment found again      stopping
failed    deployment requested again  wanted
failed    deployment found again      stopping
"""
ROWS = [
    (DeploymentState(line[:10].strip()), DeploymentEvent(line[10:38].strip()), DeploymentState(line[38:]))
    for line in LEGAL.strip().splitlines()
]
ILLEGAL = sorted(set(product(DeploymentState, DeploymentEvent)) - {(state, event) for state, event, _ in ROWS})


def test_every_state_is_a_key_and_has_a_meaning() -> None:
    assert set(DEPLOYMENT_TRANSITIONS) == set(DeploymentState)
    assert set(DEPLOYMENT_STATE_DESCRIPTIONS) == set(DeploymentState)
    assert {event for _, event, _ in ROWS} == set(DeploymentEvent)


@pytest.mark.parametrize(("state", "event", "after"), ROWS)
def test_legal_transitions_reach_their_state(
    state: DeploymentState, event: DeploymentEvent, after: DeploymentState
) -> None:
    assert next_deployment_state(state, event) is after


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_illegal_transitions_are_refused(state: DeploymentState, event: DeploymentEvent) -> None:
    with pytest.raises(IllegalTransition, match=f"'{event}'.*{state}"):
        next_deployment_state(state, event)


def test_nothing_fails_after_the_create_without_a_removal() -> None:
    before = {state for state, _, after in ROWS if after is DeploymentState.FAILED}
    assert before == {DeploymentState.WANTED, DeploymentState.STOPPING}


def test_removal_is_left_by_a_confirmed_removal_only() -> None:
    after = set(DEPLOYMENT_TRANSITIONS[DeploymentState.STOPPING].values())
    assert after == TERMINAL_DEPLOYMENT_STATES - {DeploymentState.GONE} | {DeploymentState.WANTED}


@pytest.mark.parametrize("state", sorted(MAY_EXIST_STATES - {DeploymentState.STOPPING}))
def test_everything_that_may_exist_can_be_stopped(state: DeploymentState) -> None:
    assert next_deployment_state(state, DeploymentEvent.STOP_STARTED) is DeploymentState.STOPPING


def test_every_state_is_before_at_or_after_the_provider() -> None:
    assert set(DeploymentState) == {DeploymentState.WANTED} | MAY_EXIST_STATES | TERMINAL_DEPLOYMENT_STATES
    assert not MAY_EXIST_STATES & TERMINAL_DEPLOYMENT_STATES
    assert AT_PROVIDER_DEPLOYMENT_STATES < MAY_EXIST_STATES
