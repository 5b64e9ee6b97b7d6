"""What makes the model of a job callable now: the model itself, or its deployment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from orchestrator.core.deployment.deployment import Deployment, deployment_id
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.structs import Struct, asdict
from orchestrator.status.moderation import format_iso
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.queries.deployments import deployment_records

CALLABLE_DEPLOYMENT_STATES: Final = frozenset({DeploymentState.READY, DeploymentState.DEGRADED})
"""The states in which a call was answered before. In DEGRADED the next one may be refused."""
BY_ITSELF: Final = "by_itself"
NOT_DEPLOYED: Final = "not_deployed"


class ServingView(Struct, frozen=True, kw_only=True):
    """How a model is called now."""

    callable: bool
    """Whether a client can call it now."""
    state: str
    """State of the deployment; "by_itself": it needs none; "not_deployed": it needs one and has none."""
    model: str | None
    """What a client sends as `model`; None: not known yet."""
    base_url: str | None
    """Where a client sends it; None: to the provider's API, or to the `base_url` of the account."""
    expires_at: float | None
    """When the deployment is stopped."""
    deployment: str | None
    """Id of the deployment."""


def build_serving_view(job: Job, deployment: Deployment | None) -> ServingView | None:
    """Build the view for the job's model, which `deployment` serves; None while there is no model."""
    if job.fine_tuned_model is None:
        return None
    if job.servable or deployment is None:
        return ServingView(
            callable=bool(job.servable) and job.gone_at is None,
            state=BY_ITSELF if job.servable else NOT_DEPLOYED,
            model=job.fine_tuned_model if job.servable else None,
            base_url=None,
            expires_at=None,
            deployment=None,
        )
    return ServingView(
        callable=is_callable(deployment) and job.gone_at is None,
        state=deployment.state.value,
        model=deployment.model_string,
        base_url=deployment.base_url,
        expires_at=deployment.expires_at,
        deployment=deployment.id,
    )


def is_callable(deployment: Deployment) -> bool:
    """Return whether a client can call the deployment now."""
    return deployment.state in CALLABLE_DEPLOYMENT_STATES and deployment.stop_reason is None


def serving_to_dict(view: ServingView) -> dict[str, Any]:
    """Return the view as plain values with times in ISO 8601."""
    return asdict(view) | {"expires_at": format_iso(view.expires_at)}


async def load_deployments(connection: StoreConnection, jobs: Iterable[Job]) -> dict[JobId, Deployment]:
    """Return the deployments of these jobs' final models; jobs without one are missing."""
    ids = {deployment_id(job.id, job.round): job.id for job in jobs if job.fine_tuned_model and not job.servable}
    found = await deployment_records.get_many(connection, list(ids)) if ids else {}
    # A record that was adopted after a lost database names no job until the plan exists again. It must not be shown
    # before: the row versions of the status cache find the deployments of a job by its id.
    return {ids[each.id]: each for each in found.values() if each.job_id == ids[each.id]}
