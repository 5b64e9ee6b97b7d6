"""The table of operator actions: every action has its texts, and no text has a placeholder that nobody fills."""

from __future__ import annotations

import re

import pytest

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import (
    ACCOUNT_ACTIONS,
    ACTION_INFO,
    RUN_ACTIONS,
    ActionInfo,
    ActionScope,
    OperatorAction,
    is_applicable,
)
from orchestrator.core.structs import fields


def test_every_action_has_its_texts() -> None:
    assert set(ACTION_INFO) == set(OperatorAction)


@pytest.mark.parametrize("action", OperatorAction)
def test_texts_of_an_action_are_complete(action: OperatorAction) -> None:
    info = ACTION_INFO[action]
    texts = {field.name: getattr(info, field.name) for field in fields(ActionInfo) if field.type is str}
    assert all(texts.values()), texts
    assert {name for text in texts.values() for name in re.findall(r"{(\w+)}", text)} <= {"target"}
    assert all(texts[name].endswith(".") for name in ("summary", "confirmation", "nothing_to_do"))


@pytest.mark.parametrize("action", OperatorAction)
def test_action_has_a_rule_for_the_jobs_it_applies_to(action: OperatorAction) -> None:
    assert isinstance(is_applicable(action, JobState.FAILED, held=False, error_kind=None), bool)


def test_scopes_divide_the_actions() -> None:
    named = {ActionScope.JOB, ActionScope.DELIVERIES, ActionScope.MODELS}
    rest = {each for each in OperatorAction if ACTION_INFO[each].scope in named}
    assert {*RUN_ACTIONS, *ACCOUNT_ACTIONS, *rest} == set(OperatorAction)
    models = {OperatorAction.ACCEPT, OperatorAction.REVOKE_ACCEPTANCE}
    assert rest == {OperatorAction.ADOPT, OperatorAction.REDELIVER, *models}
