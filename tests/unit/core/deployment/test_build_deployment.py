from __future__ import annotations

from core_values import NOW, a_job
from deployment_values import DEPLOYMENT_SPEC

from orchestrator.core.deployment.deployment import build_deployment, deployment_id
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace

JOB = a_job(JobState.SUCCEEDED, fine_tuned_model="m-1", round=2)


def test_requested_deployment_serves_the_model_of_the_job_and_is_due_now() -> None:
    deployment = build_deployment(JOB, DEPLOYMENT_SPEC, now=NOW)
    assert deployment.id == deployment_id(JOB.id, 2)
    assert (deployment.job_id, deployment.account, deployment.provider) == (JOB.id, JOB.account, JOB.provider)
    assert (deployment.model, deployment.checkpoint, deployment.spec) == ("m-1", None, DEPLOYMENT_SPEC)
    assert (deployment.wake_at, deployment.created_at, deployment.state_since) == (NOW, NOW, NOW)
    assert deployment.state is DeploymentState.WANTED


def test_requested_deployment_of_a_checkpoint_serves_it_under_an_id_of_its_own() -> None:
    deployment = build_deployment(JOB, DEPLOYMENT_SPEC, now=NOW, model="m-1:10", checkpoint="ckpt-10")
    assert (deployment.model, deployment.checkpoint) == ("m-1:10", "ckpt-10")
    assert deployment.id == deployment_id(JOB.id, 2, "ckpt-10") != build_deployment(JOB, DEPLOYMENT_SPEC, now=NOW).id


def test_only_a_kind_per_token_has_a_known_price_before_the_provider_reports_it() -> None:
    per_token = build_deployment(JOB, replace(DEPLOYMENT_SPEC, kind=DeploymentKind.TOKEN), now=NOW)
    assert (per_token.usd_per_hour, per_token.price_source) == (0.0, "billed per token")
    by_hour = build_deployment(JOB, DEPLOYMENT_SPEC, now=NOW)
    assert (by_hour.usd_per_hour, by_hour.price_source) == (None, None)
