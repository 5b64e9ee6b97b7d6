"""What makes a model callable now: the model itself, or its deployment."""

from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW, a_job
from deployment_values import a_deployment

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.status.serving import build_serving_view

CALLED: dict[str, Any] = {"model_string": "m-1#dep-1", "base_url": "https://call.example/v1"}


def finished(**changes: Any) -> Job:
    values: dict[str, Any] = {"provider": ProviderName.FIREWORKS, "fine_tuned_model": "m-1", "servable": False}
    return a_job(JobState.SUCCEEDED, **(values | changes))


def test_a_model_that_needs_no_deployment_is_called_by_its_id() -> None:
    view = build_serving_view(finished(servable=True), None)
    assert view is not None
    assert (view.callable, view.state, view.model, view.base_url) == (True, "by_itself", "m-1", None)
    gone = build_serving_view(finished(servable=True, gone_at=NOW), None)
    assert gone is not None
    assert not gone.callable


def test_a_model_without_its_deployment_is_not_callable() -> None:
    view = build_serving_view(finished(), None)
    assert view is not None
    assert (view.callable, view.state, view.model) == (False, "not_deployed", None)
    assert build_serving_view(finished(fine_tuned_model=None), None) is None


@pytest.mark.parametrize("state", DeploymentState)
def test_a_deployment_is_callable_after_its_first_answer_until_a_stop(state: DeploymentState) -> None:
    view = build_serving_view(finished(), a_deployment(state, **CALLED))
    assert view is not None
    assert view.callable == (state in {DeploymentState.READY, DeploymentState.DEGRADED})
    assert (view.state, view.model, view.base_url) == (state.value, "m-1#dep-1", "https://call.example/v1")
    stopping = build_serving_view(finished(), a_deployment(state, stop_reason=StopReason.REQUESTED, **CALLED))
    assert stopping is not None
    assert not stopping.callable
