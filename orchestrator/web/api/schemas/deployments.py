"""Request and response models of deployments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from orchestrator.control import DeploymentPlan
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_offers import MAX_KEEP_HOURS
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.status import DeploymentTotals, DeploymentView, deployment_to_dict
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count, ErrorInfo, ShortText, Timestamp

Usd = Annotated[StrictFloat, Field(ge=0, le=1e9, allow_inf_nan=False)]
Replicas = Annotated[StrictInt, Field(ge=0, le=1000)]


class DeploymentSchema(ApiModel):
    """A deployment: what makes a model callable at a provider whose models are not callable by themselves."""

    id: str = Field(description="Deployment id: a hash of job, round and checkpoint.")
    account: str = Field(description="The account's name in the accounts file.")
    provider: ProviderName
    labels: list[str] = Field(description="The account's labels.")
    run: str | None = Field(description="Name of the run of the job; null if the job is not known here.")
    job: str | None = Field(description="Job id.")
    model: str = Field(description="Id of the fine-tuned model, or of the checkpoint, at the provider.")
    checkpoint: str | None = Field(description="Id of the checkpoint; null for the final model.")
    kind: DeploymentKind = Field(description="How it is billed.")
    options: dict[str, Any] = Field(description="Other options, as in `[run.PROVIDER.deployment]`.")
    state: DeploymentState
    held: bool = Field(description="Whether the deployment is on hold; see `error`.")
    stop_reason: str | None = Field(description="Why it is stopped; null as long as nothing requests a stop.")
    comparison: str | None = Field(
        description="Id of the comparison that it was deployed for and that stops it; null if it was not."
    )
    error: ErrorInfo | None = Field(description="Last error, or the reason for the hold.")
    remote_id: str | None = Field(description="Id of the deployment at the provider.")
    remote_status: str | None = Field(description="Raw status reported by the provider.")
    model_string: str | None = Field(description="What a client sends as `model`.")
    base_url: str | None = Field(description="Where a client sends it.")
    usd_per_hour: float | None = Field(
        description="Price per hour of all replicas; 0 if it is billed per token, null if it is unknown."
    )
    price_source: str | None = Field(description="Where the price comes from.")
    so_far_usd: float | None = Field(description="Highest possible cost until now, without the calls.")
    until_end_usd: float | None = Field(description="Highest possible cost until its end, without the calls.")
    earlier_usd: float | None = Field(
        description="Highest possible cost before it was requested again, without the calls. It counts towards the "
        "budgets as well; null if there was none that is known."
    )
    keep_hours: float = Field(description="Hours from its create to its end.")
    created_at: Timestamp
    state_since: Timestamp
    started_at: Timestamp | None = Field(description="When its create was started; costs are counted from here.")
    ready_at: Timestamp | None = Field(description="When its first call was answered.")
    expires_at: Timestamp | None = Field(description="When the service stops it; null before its create.")
    ended_at: Timestamp | None
    attempts: Count = Field(description="Consecutive failed calls.")

    @classmethod
    def from_view(cls, view: DeploymentView) -> DeploymentSchema:
        return cls.model_validate(deployment_to_dict(view))


class DeploymentTotalsSchema(ApiModel):
    """What may cost money now, over all accounts, whatever the filter of the list."""

    count: Count = Field(description="Number of deployments that may exist at a provider.")
    usd_per_hour: float = Field(description="Sum of the known prices.")
    so_far_usd: float = Field(description="Highest possible cost until now, without the calls.")
    until_end_usd: float = Field(description="Highest possible cost until their end, without the calls.")
    unpriced: Count = Field(description="Number of these deployments whose price is unknown.")

    @classmethod
    def from_view(cls, totals: DeploymentTotals) -> DeploymentTotalsSchema:
        return cls.model_validate(totals, from_attributes=True)


class DeploymentPageSchema(ApiModel):
    """A page of deployments, sorted by account name."""

    deployments: list[DeploymentSchema]
    total: Count = Field(description="Number of matches on all pages.")
    counts: dict[str, Count] = Field(description="Number of matches by state.")
    totals: DeploymentTotalsSchema
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class DeploymentOptions(BaseModel):
    """What to deploy and how. An omitted option is that of the run's table `[run.PROVIDER.deployment]`."""

    model_config = ConfigDict(extra="forbid")

    accounts: list[ShortText] | None = Field(
        None, description="Account names; omitted, null or empty is rejected with 422, unless `all` is true."
    )
    all: StrictBool = Field(
        False, description="Selects every account of the run whose model needs a deployment; `accounts` is omitted."
    )
    checkpoint: ShortText | None = Field(
        None, description='A checkpoint: its number, "best" for the lowest loss, or the id of the only account\'s.'
    )
    kind: DeploymentKind | None = Field(None, description="How it is billed.")
    keep_hours: Annotated[StrictFloat, Field(gt=0, le=MAX_KEEP_HOURS, allow_inf_nan=False)] | None = Field(
        None, description="Hours from the create to the stop, whatever happens."
    )
    hardware: ShortText | None = Field(None, description="Hardware, in the provider's word.")
    shape: ShortText | None = Field(None, description="Fireworks: deployment shape.")
    config: ShortText | None = Field(None, description="Together: id of a configuration. Azure: SKU.")
    capacity: Annotated[StrictInt, Field(ge=1)] | None = Field(
        None, description="Azure: thousands of tokens a minute."
    )
    min_replicas: Replicas | None = None
    max_replicas: Annotated[StrictInt, Field(ge=1, le=1000)] | None = Field(None, description="All are billed.")
    idle_stop_minutes: Annotated[StrictInt, Field(ge=1, le=527040)] | None = Field(
        None, description="The provider stops it after this time without calls."
    )
    precision: ShortText | None = Field(None, description="For example FP8.")
    usd_per_hour: Usd | None = Field(None, description="Price of a replica, if the provider does not report it.")

    @property
    def spec_options(self) -> dict[str, Any]:
        """The options of DeploymentSpec."""
        return {name: getattr(self, name) for name in DeploymentSpec.__struct_fields__}


class DeploymentRequest(DeploymentOptions):
    """Models to deploy at a confirmed price."""

    expect_usd: Usd = Field(description="Expected `total_usd` of the plan; rejected with 409 if it differs.")


class PlannedDeploymentSchema(ApiModel):
    """One model of a plan."""

    account: str
    provider: ProviderName
    model: str | None = Field(description="Id of the model at the provider; null while there is none.")
    kind: DeploymentKind | None
    keep_hours: float | None
    usd_per_hour: float | None = Field(description="Price per hour of all replicas; null if it is unknown.")
    price_source: str | None
    usd: float | None = Field(description="Highest possible cost until its end; null if the price is unknown.")
    obstacle: str | None = Field(description="Why it is not deployed; null if it is.")


class DeploymentPlanSchema(ApiModel):
    """What would be deployed, and its price. Nothing is stored."""

    deployments: list[PlannedDeploymentSchema]
    count: Count = Field(description="Number of models that would be deployed.")
    total_usd: float = Field(description="Sum of the known prices, rounded to cents.")
    unpriced: Count = Field(description="Number of them with an unknown price: held until they are approved.")

    @classmethod
    def from_plan(cls, plan: DeploymentPlan) -> DeploymentPlanSchema:
        lines = [
            PlannedDeploymentSchema(
                account=line.job.account,
                provider=line.job.provider,
                model=line.model or None,
                kind=line.spec.kind if line.spec else None,
                keep_hours=line.spec.keep_hours if line.spec else None,
                usd_per_hour=line.usd_per_hour,
                price_source=line.price.source if line.price else None,
                usd=line.usd,
                obstacle=line.obstacle or None,
            )
            for line in plan.lines
        ]
        return cls(deployments=lines, count=len(plan.accepted), total_usd=plan.total_usd, unpriced=plan.unpriced)


class DeploymentSelectionRequest(BaseModel):
    """Deployments that have not ended: all that match both `accounts` and `deployments`."""

    model_config = ConfigDict(extra="forbid")

    accounts: list[ShortText] | None = Field(None, description="Account names.")
    deployments: list[ShortText] | None = Field(None, description="Deployment ids.")
    all: StrictBool = Field(False, description="Selects every deployment; the two lists must be omitted.")
    expect: StrictInt | None = Field(
        None, description="Expected number of selected deployments; rejected with 409 if it differs."
    )


class DeploymentActionResult(ApiModel):
    """The deployments that were changed. The service carries it out asynchronously."""

    deployments: list[str] = Field(description="Deployment ids.")
    accounts: list[str] = Field(description="Their accounts, in the same order.")
    count: Count
