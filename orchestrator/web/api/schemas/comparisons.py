"""Response models of comparisons and of the answers of their models."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.status import ComparisonLine, ComparisonProgress, StoredAnswer, format_iso
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count, Timestamp


class ComparisonLineSchema(ApiModel):
    """A comparison in the list of a run."""

    id: str = Field(description="Comparison id.")
    state: ComparisonState = Field(description="`stopped`: it ended without a result; `message` has the reason.")
    created_at: Timestamp
    created_by: str = Field(description="Actor that requested it.")
    finished_at: Timestamp | None = Field(description="When it ended; null while the models are being called.")
    message: str | None = Field(description="The result in one sentence, or why there is none.")

    @classmethod
    def from_line(cls, line: ComparisonLine | Comparison) -> ComparisonLineSchema:
        return cls(
            id=line.id,
            state=line.state,
            created_at=format_iso(line.created_at) or "",
            created_by=line.created_by,
            finished_at=format_iso(line.finished_at),
            message=line.message,
        )


class ComparisonListSchema(ApiModel):
    """The latest comparisons of a run, newest first."""

    run: str | None = Field(description="Run id; null if there is no run.")
    comparisons: list[ComparisonLineSchema]


class ComparedModelSchema(ApiModel):
    """A model that is called in a comparison."""

    name: str = Field(description="Name of the account; of an untuned base model `base GROUP`.")
    account: str = Field(description="Account whose key is used.")
    group: str = Field(description="Provider and base model: distances are measured within a group.")
    model: str = Field(description="Name by which the model is called; that of its deployment, if it needs one.")
    fine_tuned_model: str | None = Field(description="Id of the fine-tuned model; null for a base model.")
    is_base: bool = Field(description="Whether it is the untuned base model of its group.")


class ComparisonSchema(ComparisonLineSchema):
    """One comparison of the models of a run: its state, its cost and its result."""

    run: str = Field(description="Run id.")
    settings: dict[str, Any] = Field(description="Options of the comparison, as in `[run.comparison]`.")
    models: list[ComparedModelSchema]
    probe_set: str = Field(description="Hash of the probes; only comparisons with the same probes can be compared.")
    probes: list[str] = Field(description="Ids of the probes.")
    requests: Count = Field(description="Number of requests that were sent, failed ones included.")
    answered: Count = Field(description="Number of stored answers.")
    planned: Count = Field(description="Number of answers when it is complete.")
    usd: float | None = Field(
        description="Cost so far in US dollars, deployments that it started included; null if a price is unknown."
    )
    hosting_usd: float | None = Field(description="Cost of these deployments; null if a price is unknown.")
    result: dict[str, Any] | None = Field(
        description="Result document, as of `orchestrator compare --json`: verdict, reasons and measurements of each "
        "account, and who accepted its model; null until the comparison has finished."
    )

    @classmethod
    def from_progress(cls, progress: ComparisonProgress) -> ComparisonSchema:
        comparison = progress.comparison
        return cls(
            **ComparisonLineSchema.from_line(comparison).model_dump(),
            run=comparison.run_id,
            settings=comparison.settings.as_dict(),
            models=[
                ComparedModelSchema(**{name: getattr(each, name) for name in ComparedModelSchema.model_fields})
                for each in comparison.models
            ],
            probe_set=comparison.probe_set,
            probes=list(comparison.probe_ids),
            requests=comparison.requests,
            answered=progress.answered,
            planned=progress.planned,
            usd=comparison.total_usd,
            hosting_usd=comparison.hosting_usd,
            result=dict(comparison.result) if comparison.result is not None else None,
        )


class AnswerSchema(ApiModel):
    """One answer of a model to a probe."""

    model: str = Field(description="Name of the account; of an untuned base model `base GROUP`.")
    probe: str = Field(description="Probe id.")
    round: int = Field(ge=1, description="1 or 2: each fine-tuned model gets each probe twice.")
    at: Timestamp
    outcome: AnswerOutcome
    text: str | None = Field(description="Text of the answer; null if its comparison does not keep texts.")
    text_sha256: str = Field(description="Hash of the text, which stays when the text is deleted.")
    prompt_tokens: int | None = Field(description="Tokens of the prompt, as the provider counts them.")
    output_tokens: int | None = Field(description="Tokens of the answer, as the provider counts them.")
    usd: float | None = Field(description="Cost in US dollars; null if the price is unknown.")
    finish_reason: str | None = Field(description="Why the answer ended, in the provider's word.")
    request_id: str | None = Field(description="Request id assigned by the provider.")
    message: str | None = Field(description="Error of a call that failed.")

    @classmethod
    def from_answer(cls, answer: StoredAnswer) -> AnswerSchema:
        values = {name: getattr(answer, name) for name in cls.model_fields if name not in {"probe", "at"}}
        return cls(**values, probe=answer.probe_id, at=format_iso(answer.at) or "")


class AnswerPageSchema(ApiModel):
    """A page of answers, by model, probe and round."""

    answers: list[AnswerSchema]
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")
