from __future__ import annotations

import pytest

from orchestrator.core.hold import HoldKind
from orchestrator.core.lifecycle import State
from orchestrator.core.verb import Verb, applies

OPEN = set(State) - {State.SUCCEEDED, State.CANCELLED, State.FAILED}


@pytest.mark.parametrize(
    ("verb", "states"),
    [
        (Verb.CANCEL, OPEN - {State.CANCELLING}),
        (Verb.RETRY, {State.FAILED}),
        (Verb.HOLD, set(State)),
        (Verb.RELEASE, set()),
    ],
)
def test_of_which_states_a_verb_makes_sense(verb: Verb, states: set[State]) -> None:
    assert {state for state in State if applies(verb, state, held=False, kind=None)} == states


@pytest.mark.parametrize("kind", [HoldKind.BY_OPERATOR, "authentication_failed", "ambiguous"])
def test_what_a_release_lets_go(kind: str) -> None:
    assert applies(Verb.RELEASE, State.PLANNED, held=True, kind=kind)


@pytest.mark.parametrize("kind", [HoldKind.OVER_BUDGET, HoldKind.RUN_TOO_DEAR, HoldKind.NOT_MODERATED])
def test_what_needs_more_than_a_release(kind: str) -> None:
    assert not applies(Verb.RELEASE, State.PLANNED, held=True, kind=kind)
