"""Request and response models of the routes that request comparisons."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from orchestrator.control.comparisons import PlannedComparison
from orchestrator.core.comparison.comparison import ComparisonSettings
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.web.api.schemas.deployments import Usd
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count


class ComparisonOptions(BaseModel):
    """How models are compared. An omitted option is that of the run's table `[run.comparison]`."""

    model_config = ConfigDict(extra="forbid")

    probes: Annotated[StrictInt, Field(ge=2, le=2000)] | None = Field(
        None, description="Number of held-out examples, at most."
    )
    behaviour_probes: StrictBool | None = Field(
        None, description="Whether the questions that are shipped with the program are sent, too."
    )
    max_output_tokens: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        None, description="Maximum length of an answer, in tokens."
    )
    scoring: ScoringMethod | None = Field(None, description="How an answer is scored.")
    quality_margin: Annotated[StrictFloat, Field(gt=0, lt=1)] | None = Field(
        None, description="Largest difference in quality that counts as alike."
    )
    max_usd: Usd | None = Field(None, description="The comparison stops before it costs more.")
    store_answers: StrictBool | None = Field(
        None, description="Whether the texts of the answers are kept after the end."
    )
    round_gap_seconds: Annotated[StrictFloat, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = Field(
        None, description="Seconds between the two rounds."
    )

    deploy: StrictBool | None = Field(
        None, description="Whether models that need a deployment are deployed, and stopped at the end."
    )

    @property
    def settings(self) -> dict[str, Any]:
        """The options that were sent, as fields of ComparisonSettings."""
        values = {name: getattr(self, name, None) for name in ComparisonSettings.__struct_fields__}
        return {name: value for name, value in values.items() if value is not None}


class ComparisonRequest(ComparisonOptions):
    """A comparison at a confirmed price."""

    expect_usd: Usd | None = Field(None, description="Expected `usd` of the plan; rejected with 409 if it differs.")
    accept_any_price: StrictBool = Field(
        False, description="Accepts the price without a limit, also if it is unknown."
    )


class LeftOutModelSchema(ApiModel):
    """A model of the run that is not compared."""

    account: str
    reason: str = Field(description="Why it is left out.")


class PlannedComparisonSchema(ApiModel):
    """The planned requests of a comparison and their highest possible price."""

    comparison: str | None = Field(description="Comparison id; null for a plan.")
    run: str = Field(description="Run id.")
    models: Count = Field(description="Number of fine-tuned models.")
    probes: Count = Field(description="Number of questions.")
    requests: Count = Field(description="Number of calls, those of base models included.")
    usd: float | None = Field(description="Highest possible price; null if it is unknown.")
    hosting_usd: float | None = Field(description="The part of it that deployments cost; null if it is unknown.")
    deployments: list[str] = Field(description="Accounts whose model is deployed, and stopped at the end.")
    left_out: list[LeftOutModelSchema] = Field(description="Models of the run that are not compared.")

    @classmethod
    def from_plan(cls, planned: PlannedComparison, *, comparison: str | None = None) -> PlannedComparisonSchema:
        return cls(
            comparison=comparison,
            run=planned.comparison.run_id,
            models=planned.models,
            probes=len(planned.comparison.probe_ids),
            requests=planned.requests,
            usd=planned.usd,
            hosting_usd=planned.hosting_usd,
            deployments=[model.account for model in planned.comparison.models if model.starts_deployment],
            left_out=[LeftOutModelSchema(account=each.account, reason=each.reason) for each in planned.left_out],
        )


class StoppedComparisonSchema(ApiModel):
    """A comparison that was stopped."""

    comparison: str = Field(description="Comparison id.")
