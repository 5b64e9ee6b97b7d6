from __future__ import annotations

import pytest

from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction, is_applicable

OPEN = set(JobState) - {JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED}


@pytest.mark.parametrize(
    ("verb", "states"),
    [
        (OperatorAction.CANCEL, OPEN - {JobState.CANCELLING}),
        (OperatorAction.RETRY, {JobState.FAILED}),
        (OperatorAction.HOLD, set(JobState)),
        (OperatorAction.RELEASE, set()),
    ],
)
def test_action_applies_to_its_states(verb: OperatorAction, states: set[JobState]) -> None:
    assert {state for state in JobState if is_applicable(verb, state, held=False, error_kind=None)} == states


@pytest.mark.parametrize("kind", [HoldKind.BY_OPERATOR, HoldKind.RENAMED, "authentication_failed", "ambiguous"])
def test_release_removes_its_holds(kind: str) -> None:
    assert is_applicable(OperatorAction.RELEASE, JobState.PLANNED, held=True, error_kind=kind)


@pytest.mark.parametrize("kind", [HoldKind.OVER_BUDGET, HoldKind.RUN_TOO_EXPENSIVE, HoldKind.NOT_MODERATED])
def test_holds_that_need_more_than_a_release_stay(kind: str) -> None:
    assert not is_applicable(OperatorAction.RELEASE, JobState.PLANNED, held=True, error_kind=kind)
