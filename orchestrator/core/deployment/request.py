"""Builds the record of a deployment that was requested, by the accounts file or by an operator."""

from __future__ import annotations

from typing import Final

from orchestrator.core.deployment.deployment import Deployment, deployment_id
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.jobs.job import Job

PER_TOKEN_SOURCE: Final = "billed per token"  # noqa: S105 - a unit of text


def build_deployment(
    job: Job, spec: DeploymentSpec, *, now: float, model: str | None = None, checkpoint: str | None = None
) -> Deployment:
    """Build the deployment of a finished job's model, due now. `model` replaces the id of the final model.

    A kind that is billed per token has no hourly price; any other price is unknown until the provider reports it.
    """
    per_token = spec.kind is DeploymentKind.TOKEN
    return Deployment(
        id=deployment_id(job.id, job.round, checkpoint),
        job_id=job.id,
        account=job.account,
        provider=job.provider,
        model=model or job.fine_tuned_model or "",
        checkpoint=checkpoint,
        spec=spec,
        wake_at=now,
        usd_per_hour=0.0 if per_token else None,
        price_source=PER_TOKEN_SOURCE if per_token else None,
        created_at=now,
        state_since=now,
    )
