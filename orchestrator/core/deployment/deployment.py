"""A deployment: one model of one account, made callable. The provider's counterpart is the remote deployment."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NewType

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, DeploymentState
from orchestrator.core.errors import Failure, IllegalTransition
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.spec import digest
from orchestrator.core.structs import Struct

DeploymentId = NewType("DeploymentId", str)

NAME_PREFIX = "orch-"
PER_TOKEN_SOURCE: Final = "billed per token"  # noqa: S105 - a unit of text


class StopReason(StrEnum):
    """Why a deployment is stopped. The values are stored."""

    REQUESTED = "requested"
    EXPIRED = "expired"
    FAILED = "failed"
    CONFLICT = "conflict"  # another operation of the account was in progress: it is created again afterwards
    FOUND_AFTER_END = "found after its end"


def deployment_id(job_id: JobId, job_round: int, checkpoint: str | None = None) -> DeploymentId:
    """Derive a deployment's id from the model that it serves: a job, its round, and a checkpoint of it.

    The spec is no part of it: with changed options the existing deployment is found, and no second one is created.
    """
    return DeploymentId(digest("deployment", job_id, job_round, checkpoint))


def format_deployment_name(tag: str, max_length: int = 63) -> str:
    """Format the name that carries the tag at the provider: lower-case letters, digits and hyphens.

    A name that would be too long is a hash of the tag.
    """
    name = NAME_PREFIX + tag.replace(".", "-")
    return name if len(name) <= max_length else digest(tag)[:max_length]


class Deployment(Struct, frozen=True, kw_only=True):
    """The stored state of a deployment. Times are epoch seconds, UTC. `transitions` makes every new version of it."""

    id: DeploymentId  # identity of the served model, see `deployment_id`
    job_id: JobId | None  # None: found at the provider, and its job is not known here
    account: str  # name in the accounts file
    provider: ProviderName
    model: str  # the provider's id of the model, or of the checkpoint
    checkpoint: str | None = None  # the provider's id of the checkpoint; None: the final model
    spec: DeploymentSpec
    state: DeploymentState = DeploymentState.WANTED
    version: int = 1  # incremented with every change; the store's compare and set
    round: int = 0  # how often it was requested again; part of the tag
    attempts: int = 0  # failed calls in a row
    wake_at: float | None = None  # when it is processed next; None: an operator or another step wakes it
    intent_until: float | None = None  # until then a request that creates something may still arrive at the provider
    expires_at: float | None = None  # when the service stops it; None only before the first create
    stop_reason: StopReason | None = None  # requested or begun; it is carried out despite holds
    hold: Hold | None = None  # stops everything except a stop
    failure: Failure | None = None  # the last error; of a failed deployment the reason
    missing_since: float | None = None  # since when look-ups have found nothing
    remote_id: str | None = None  # the provider's id of the remote deployment
    remote_status: str | None = None  # the provider's own word
    model_string: str | None = None  # what a client sends as `model`
    base_url: str | None = None  # where a client sends it
    usd_per_hour: float | None = None  # of one replica; 0: not billed by the hour; None: unknown
    price_source: str | None = None  # where the price comes from, as text
    approved_at: float | None = None  # when an operator accepted a price that is unknown or too high
    created_at: float  # of this record
    state_since: float  # when it entered its state
    create_started_at: float | None = None  # when the intent was first written; costs are counted from here
    earlier_usd: float | None = None  # what the earlier rounds have cost at most; None: none had a known price
    earlier_month_usd: float | None = None  # the part of `earlier_usd` of the month (UTC) of `earlier_started_at`
    earlier_started_at: float | None = None  # `create_started_at` of the latest round in `earlier_usd`
    ready_at: float | None = None  # when the first call was answered
    ended_at: float | None = None
    replica: str | None = None  # the replica that made the last change
    comparison_id: str | None = None  # the comparison that requested it, and that stops it at its end

    def __post_init__(self) -> None:
        if self.state in MAY_EXIST_STATES and self.expires_at is None:
            raise IllegalTransition(f"a deployment that is {self.state} needs a time at which it expires")

    @property
    def tag(self) -> str:
        """The text by which the remote deployment is found again. Each request has a tag of its own."""
        return f"{self.id}.{self.round}"

    @property
    def is_billed_by_hour(self) -> bool:
        """Whether it costs money without calls. An unknown price counts as one, unless its kind is per token."""
        return self.spec.kind is DeploymentKind.HOUR or bool(self.usd_per_hour)

    @property
    def needs_stop_request(self) -> bool:
        """Whether only a request stops it for good: a removal after a conflict ends in another create."""
        return self.stop_reason in {None, StopReason.CONFLICT}

    def is_expired(self, now: float) -> bool:
        """Return whether the service has to stop it at `now`."""
        return self.expires_at is not None and now >= self.expires_at


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
