"""Response models of the analysis of a run: its timeline and its costs.

OpenAPI and docs/reference/api.md are generated from these classes, so each description is documentation.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.timeline import Phase
from orchestrator.core.plans.spending import ProviderSpending
from orchestrator.status import RunCosts, RunTimeline, TimelineRow, format_iso
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count, Timestamp

Seconds = Annotated[float, Field(ge=0)]


class PhaseSpanSchema(ApiModel):
    """A time that a job spent in one phase."""

    phase: Phase
    start: Timestamp
    end: Timestamp = Field(description="End of the phase; the time of the request if it has not ended.")
    seconds: Seconds


class HoldSpanSchema(ApiModel):
    """A time for which a job was on hold; it keeps its phase meanwhile."""

    start: Timestamp
    end: Timestamp


class JobTimelineSchema(ApiModel):
    """The phases of one job, without gaps."""

    account: str
    provider: ProviderName
    job: str
    state: JobState
    phases: list[PhaseSpanSchema]
    holds: list[HoldSpanSchema]

    @classmethod
    def from_row(cls, row: TimelineRow) -> JobTimelineSchema:
        return cls(
            account=row.account,
            provider=ProviderName(row.provider),
            job=row.job,
            state=JobState(row.state),
            phases=[
                PhaseSpanSchema(
                    phase=span.phase,
                    start=format_iso(span.start) or "",
                    end=format_iso(span.end) or "",
                    seconds=span.seconds,
                )
                for span in row.timeline.spans
            ],
            holds=[
                HoldSpanSchema(start=format_iso(hold.start) or "", end=format_iso(hold.end) or "")
                for hold in row.timeline.holds
            ],
        )


class PhaseTotalSchema(ApiModel):
    """The time that the jobs of the page spent in one phase."""

    phase: Phase
    jobs: Count = Field(description="Number of jobs that spent time in it.")
    seconds: Seconds = Field(description="Sum over these jobs.")
    share: float = Field(ge=0, le=1, description="Fraction of the time of all phases, from 0 to 1.")
    median_seconds: Seconds
    longest_seconds: Seconds
    longest_account: str


class TimelineSchema(ApiModel):
    """A page of timelines, sorted by account name, and the time of each phase, the longest sum first."""

    run: str = Field(description="Run id.")
    timelines: list[JobTimelineSchema]
    phases: list[PhaseTotalSchema] = Field(description="Sums over the jobs of this page.")
    total: Count = Field(description="Number of matches on all pages.")
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")

    @classmethod
    def from_view(cls, view: RunTimeline) -> TimelineSchema:
        return cls(
            run=view.run,
            timelines=[JobTimelineSchema.from_row(row) for row in view.rows],
            phases=[
                PhaseTotalSchema(
                    phase=each.phase,
                    jobs=each.jobs,
                    seconds=each.total,
                    share=min(each.share, 1.0),
                    median_seconds=each.median,
                    longest_seconds=each.longest,
                    longest_account=each.longest_account,
                )
                for each in view.phase_totals
            ],
            total=view.total,
            next=view.next,
        )


class AmountSchema(ApiModel):
    """A sum of prices in US dollars. Jobs without a known price are counted, not guessed."""

    usd: float = Field(description="Sum of the known prices.")
    known: Count = Field(description="Number of jobs with a known price.")
    unknown: Count = Field(description="Number of jobs without one.")


class ProviderCostsSchema(ApiModel):
    """The prices of a run's jobs at one provider."""

    provider: ProviderName
    planned: AmountSchema = Field(description="Estimated price of all jobs.")
    submitted: AmountSchema = Field(description="Estimated price of the remote jobs that were created.")
    quoted: AmountSchema = Field(description="Price quoted by the provider for these jobs, where it quotes one.")
    trained: AmountSchema = Field(
        description="Trained tokens reported by the provider, priced by the price file; jobs with reported tokens."
    )
    trained_tokens: Count
    billed_usd: float | None = Field(
        description="What the provider billed; null because no supported provider reports it for a job."
    )

    @classmethod
    def from_view(cls, view: ProviderSpending) -> ProviderCostsSchema:
        amounts = {
            name: AmountSchema(usd=amount.usd, known=amount.known, unknown=amount.unknown)
            for name in ("planned", "submitted", "quoted", "trained")
            if (amount := getattr(view, name))
        }
        return cls(
            provider=ProviderName(view.provider), trained_tokens=view.trained_tokens, billed_usd=None, **amounts
        )


class CostPointSchema(ApiModel):
    """The jobs that were submitted until a time, and their estimated price; an unknown price counts as 0."""

    until: Timestamp
    jobs: Count
    usd: float


class CostsSchema(ApiModel):
    """What a run costs, in US dollars."""

    run: str = Field(description="Run id.")
    providers: list[ProviderCostsSchema] = Field(description="Sorted by provider.")
    over_time: list[CostPointSchema] = Field(description="Sum of the submitted jobs, at most 30 points.")

    @classmethod
    def from_view(cls, view: RunCosts) -> CostsSchema:
        return cls(
            run=view.run,
            providers=[ProviderCostsSchema.from_view(each) for each in view.providers],
            over_time=[
                CostPointSchema(until=format_iso(point.until) or "", jobs=point.jobs, usd=point.usd)
                for point in view.over_time
            ],
        )
