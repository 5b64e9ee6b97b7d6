from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW, SPEC, a_job, a_remote_job, a_run

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.pins import (
    ValueUsage,
    apply_pins,
    find_resolved_values,
    list_auto_options,
    list_differences,
)
from orchestrator.core.jobs.remote_state import observe_job, with_pinned_values
from orchestrator.core.remote import RemoteJobStatus
from orchestrator.core.spec import TrainingSpec

OPEN = TrainingSpec(base_model="m")
OPENAI, TOGETHER = ProviderName.OPENAI, ProviderName.TOGETHER
REPORTED = {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8}


def test_open_options_are_offered_and_unset() -> None:
    assert list_auto_options(OPEN, OPENAI) == ("n_epochs", "batch_size", "learning_rate_multiplier")
    assert list_auto_options(OPEN, TOGETHER) == ("n_epochs", "batch_size", "learning_rate")
    assert list_auto_options(SPEC, OPENAI) == ("batch_size", "learning_rate_multiplier")


def test_pinned_values_are_sent_and_other_options_stay() -> None:
    values = find_resolved_values(SPEC, OPENAI, REPORTED | {"n_epochs": 9}, finished=False)
    sent = apply_pins(SPEC, values)
    assert (sent.n_epochs, sent.batch_size, sent.learning_rate_multiplier) == (3, 1, 1.8)
    assert sent.suffix == SPEC.suffix
    assert list_auto_options(sent, OPENAI) == ()
    assert apply_pins(SPEC, None) == SPEC


@pytest.mark.parametrize("missing", ["auto", -1, None, True, 0])
def test_unreported_value_is_awaited_until_the_job_ends(missing: Any) -> None:
    used = REPORTED | {"batch_size": missing}
    assert find_resolved_values(OPEN, OPENAI, used, finished=False) is None
    assert find_resolved_values(OPEN, OPENAI, used, finished=True) == {"n_epochs": 3, "learning_rate_multiplier": 1.8}


@pytest.mark.parametrize(
    ("pins", "status", "reported"),
    [
        ({OPENAI: None}, RemoteJobStatus.RUNNING, {"batch_size": 1, "learning_rate_multiplier": 1.8}),
        ({OPENAI: None}, RemoteJobStatus.PENDING, None),
        ({OPENAI: {"batch_size": 2}}, RemoteJobStatus.RUNNING, None),
        ({}, RemoteJobStatus.RUNNING, None),
    ],
)
def test_first_training_job_sets_the_pin(pins: Any, status: RemoteJobStatus, reported: Any) -> None:
    outcome = observe_job(a_job(JobState.QUEUED), a_remote_job(status, hyperparameters=REPORTED), now=NOW, delay=5)
    assert with_pinned_values(outcome, a_run(pins=pins)).pinned_values == reported


def test_differences_name_one_account_per_value() -> None:
    used = [
        ValueUsage(OPENAI, {"n_epochs": 3, "batch_size": "auto"}, "acme-1", 3),
        ValueUsage(OPENAI, {"n_epochs": 3, "batch_size": 1}, "acme-2", 1),
        ValueUsage(OPENAI, {"n_epochs": 4, "batch_size": 1}, "acme-9", 1),
        ValueUsage(TOGETHER, {"n_epochs": 1}, "tom", 1),
    ]
    assert list_differences(used) == [
        "the jobs at openai were trained with different values: n_epochs is 3 in acme-1 and 3 more, 4 in acme-9"
    ]
