"""Response models of jobs, runs, models, events and the status document.

OpenAPI and docs/reference/api.md are generated from these classes, so each description is documentation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from orchestrator.core.account import ProviderName
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.jobs.end_range import EndRange
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.status import JobView, RunListItem, RunOverview, RunView, format_iso, view_to_dict

ShortText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^[^\x00]*$")]
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
EventKind = Literal["job", "deployment", "comparison", "account", "run", "service"]
Count = Annotated[int, Field(ge=0)]


class ApiModel(BaseModel):
    """Base class of the response models. A field of the read model is not returned until it is declared here."""


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="Reason phrase of the HTTP status.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="What is wrong.")
    hint: str | None = Field(None, description="What to do next.")
    kind: str | None = Field(None, description="Error code; see the error reference.")


class ErrorInfo(ApiModel):
    """An error, a hold or a warning: what it is and what to do next."""

    kind: str = Field(description="Error code or kind of hold; see the error reference.")
    message: str = Field(description="What is wrong, and where.")
    hint: str = Field(description="What to do next.")
    request_id: str | None = Field(
        description="Request id assigned by the provider; its support can find the request by it."
    )


class ServingSchema(ApiModel):
    """How a model is called now: by itself, or through its deployment."""

    callable: bool = Field(description="Whether a client can call it now.")
    state: Literal[
        "by_itself",
        "not_deployed",
        "wanted",
        "creating",
        "starting",
        "ready",
        "degraded",
        "stopping",
        "stopped",
        "gone",
        "failed",
    ] = Field(
        description="State of the deployment; `by_itself`: the model needs none; `not_deployed`: it needs one and "
        "has none."
    )
    model: str | None = Field(description="What a client sends as `model`; null if that is not known yet.")
    base_url: str | None = Field(
        description="Where a client sends it; null for the provider's API, or the `base_url` of the account."
    )
    expires_at: Timestamp | None = Field(description="When the deployment is stopped.")
    deployment: str | None = Field(description="Deployment id.")


class CheckpointSchema(ApiModel):
    """A model that the provider kept during the training."""

    number: Count = Field(description="Its place among the checkpoints of the job; 1 is the earliest.")
    id: str = Field(description="Id of the checkpoint at the provider.")
    model: str = Field(description="Id by which the checkpoint is called, or deployed.")
    step: Count = Field(description="Training step after which it was kept.")
    epoch: Count | None = Field(description="Epoch after which it was kept, if the provider reports it.")
    training_loss: float | None = Field(description="Training loss at this step, if known.")
    validation_loss: float | None = Field(description="Validation loss at this step, if known.")


class ModelComparisonSchema(ApiModel):
    """What is known about a fine-tuned model: the verdict of the latest comparison, and whether it is accepted."""

    verdict: ComparisonVerdict | None = Field(
        description="Whether it is like the models of the other accounts; null if an operator accepted it without a "
        "comparison."
    )
    reasons: list[str] = Field(description="Why the model is not certainly alike; each continues the account's name.")
    comparison: str | None = Field(description="Id of the comparison.")
    at: Timestamp | None = Field(description="When the comparison ended.")
    accepted_by: str | None = Field(description="Who accepted the model whatever its verdict is; null if nobody did.")
    accepted_reason: str | None = Field(description="Why it was accepted.")


class JobSchema(ApiModel):
    """One account's job in a run."""

    account: str = Field(description="The account's name in the accounts file.")
    provider: ProviderName
    base_model: str = Field(description="Base model.")
    labels: list[str] = Field(description="The account's labels.")
    organization: str | None = Field(description="The organisation that the account's key belongs to, once known.")
    job: str = Field(description="Job id: a hash of dataset, training specification and account.")
    state: JobState
    held: bool = Field(description="Whether the job is on hold; see `error`.")
    remote_file_id: str | None = Field(description="Id of the training file at the provider.")
    remote_job_id: str | None = Field(description="Id of the fine-tuning job at the provider.")
    remote_status: str | None = Field(description="Raw status reported by the provider.")
    fine_tuned_model: str | None = Field(description="Id of the fine-tuned model; null until the job has succeeded.")
    servable: bool | None = Field(
        description="Whether the model can be called without deploying it first; null without a model."
    )
    serving_hint: str | None = Field(description="How to make the model servable, if it is not.")
    progress: float | None = Field(
        ge=0, le=1, description="Fraction from 0 to 1; null if the provider does not report it."
    )
    error: ErrorInfo | None = Field(description="Last error, or the reason for the hold.")
    warning: ErrorInfo | None = Field(
        description="Non-blocking warning about a job in progress; null once it no longer applies."
    )
    waits_for: str | None = Field(
        description="What the job waits for, if it has no error; `wake_at` is the time of the next check."
    )
    attempts: Count = Field(description="Consecutive failed calls.")
    round: Count = Field(description="How many times an operator has retried the job.")
    hyperparameters: dict[str, Any] = Field(description="Effective hyperparameters reported by the provider.")
    trained_tokens: int | None = Field(description="Number of trained tokens reported by the provider.")
    estimated_usd: float | None = Field(description="Estimated price in US dollars.")
    quoted_usd: float | None = Field(description="Price quoted by the provider in US dollars, if it quotes one.")
    retires_on: str | None = Field(description="Last day on which the model can be called.")
    days_left: int | None = Field(description="Days until `retires_on`; negative once it has passed.")
    gone_at: Timestamp | None = Field(
        description="When the service first noticed that the provider no longer has the model."
    )
    created_at: Timestamp
    state_since: Timestamp = Field(description="When the job entered its current state.")
    changed_at: Timestamp = Field(
        description="When the job's state or the progress reported by the provider last changed."
    )
    submitted_at: Timestamp | None = Field(description="When the job was created at the provider.")
    finished_at: Timestamp | None
    wake_at: Timestamp | None = Field(description="Next check; null while waiting for an operator.")
    latest_event: str | None = Field(description="Note of the job's latest event.")
    replica: str | None = Field(description="Replica that last updated the job.")
    serving: ServingSchema | None = Field(None, description="How the model is called now; null without a model.")
    checkpoints: list[CheckpointSchema] = Field(
        description="Models that the provider kept besides the final one, the earliest first."
    )
    comparison: ModelComparisonSchema | None = Field(
        description="Verdict on the model; null while it was neither compared nor accepted."
    )

    @classmethod
    def from_view(cls, view: JobView) -> JobSchema:
        return cls.model_validate(view_to_dict(view))


class RunSchema(ApiModel):
    """One dataset and its training specifications, applied to a set of accounts."""

    id: str = Field(description="Run id: a hash of dataset and training specifications.")
    name: str
    dataset_sha256: str
    examples: Count = Field(description="Number of training examples.")
    tokens: int | None = Field(
        description="Number of tokens in the training examples; null if there is no tokenizer for the base model."
    )
    specs: dict[str, dict[str, Any]] = Field(
        description="Training specification by provider: base model, method and hyperparameters."
    )
    started: bool = Field(description="Whether jobs are submitted; otherwise files are only uploaded.")
    approved_by: str | None = Field(description="Who approved the price.")
    planned_usd: float | None = Field(
        description="Estimated price of all jobs in US dollars; null if some accounts have no known price."
    )
    holds: list[ErrorInfo] = Field(description="Holds of the whole run.")
    moderation: dict[str, Any] | None = Field(
        description="Moderation record with the fields state, by, at, texts, reason, hint and progress. While the "
        "moderation runs, progress has the fields judged, total, finish_at (an estimate), attempts and retry_at."
    )
    created_at: Timestamp
    pins: dict[str, dict[str, Any] | None] = Field(
        description="By provider: the hyperparameters that it chose for its first job, applied to all others; null "
        "until they are known."
    )
    warnings: list[str] = Field(description="Non-blocking warnings.")
    gate: bool = Field(description="Whether exports hold only models that are alike or that an operator accepted.")

    @classmethod
    def from_view(cls, view: RunView) -> RunSchema:
        return cls.model_validate(view_to_dict(view))


class ReplicaSchema(ApiModel):
    """A service process."""

    id: str
    host: str
    pid: int
    started_at: Timestamp
    seen_at: Timestamp = Field(description="Last heartbeat.")
    alive_until: Timestamp = Field(description="Heartbeat expiry; after it the replica counts as dead.")


class StatusDocument(ApiModel):
    """One current run and all of its jobs.

    Within one `schema` version fields are added, never changed or removed.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: Literal[1] = Field(alias="schema", description="Version of this document.")
    run: RunSchema | None = Field(description="The run; null until one is planned.")
    counts: dict[str, Count] = Field(description="Number of jobs by state; jobs on hold are counted as `held`.")
    settled: bool = Field(description="True if no job will change without operator action.")
    replicas: list[ReplicaSchema]
    jobs: list[JobSchema]
    problem: ErrorInfo | None = Field(description="Why the current version of the accounts file is not in use.")


class RunStatusSchema(ApiModel):
    """A current run with all of its jobs."""

    run: RunSchema
    priority: int = Field(description="Priority: of the runs that wait for a job slot, the highest is first.")
    counts: dict[str, Count] = Field(description="Number of jobs by state; jobs on hold are counted as `held`.")
    settled: bool = Field(description="True if no job of the run will change without operator action.")
    jobs: list[JobSchema]


class RunsStatusDocument(ApiModel):
    """All current runs and their jobs, if the accounts file describes several runs."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: Literal[2] = Field(alias="schema", description="Version of this document.")
    counts: dict[str, Count] = Field(
        description="Number of jobs of all current runs by state; jobs on hold are counted as `held`."
    )
    settled: bool = Field(description="True if no job of any current run will change without operator action.")
    replicas: list[ReplicaSchema]
    runs: list[RunStatusSchema] = Field(description="The current runs, by priority, then age.")
    problem: ErrorInfo | None = Field(description="Why the current version of the accounts file is not in use.")


class Liveness(ApiModel):
    """Whether the process responds."""

    alive: Literal[True]


class Readiness(ApiModel):
    """Whether the service is ready, and if not, why."""

    ready: bool
    database: bool = Field(description="Whether the database is reachable.")
    ticking: bool = Field(description="Whether the scheduler is running.")
    reason: str | None = Field(description="Why the service is not ready; null if it is.")


class JobPageSchema(ApiModel):
    """A page of jobs, sorted by account name."""

    jobs: list[JobSchema]
    total: Count = Field(description="Number of matches on all pages.")
    counts: dict[str, Count] = Field(
        description="Number of jobs by state (`held`: on hold) that match the filter, regardless of its `state`."
    )
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class ModelSchema(ApiModel):
    """A fine-tuned model and what a client needs to call it, except the API key."""

    account: str
    provider: ProviderName
    base_model: str
    fine_tuned_model: str
    servable: bool | None
    serving_hint: str | None
    retires_on: str | None
    days_left: int | None
    labels: list[str]
    job: str
    serving: ServingSchema | None = Field(None, description="How the model is called now.")
    checkpoints: list[CheckpointSchema]
    comparison: ModelComparisonSchema | None = Field(
        description="Verdict on the model; null while it was neither compared nor accepted."
    )
    left_out: str | None = Field(
        description="Why exports leave the model out while the gate of the run is on; null if they hold it."
    )

    @classmethod
    def from_view(cls, view: JobView) -> ModelSchema:
        values = view_to_dict(view) | {"left_out": view.gate_obstacle}
        return cls.model_validate({name: values[name] for name in cls.model_fields})


class ModelPageSchema(ApiModel):
    """A page of models, sorted by account name."""

    models: list[ModelSchema]
    total: Count = Field(description="Number of matches on all pages.")
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class EndRangeSchema(ApiModel):
    """The range of times in which a run may end, from the durations of its finished jobs."""

    earliest: Timestamp
    latest: Timestamp

    @classmethod
    def from_view(cls, view: EndRange) -> EndRangeSchema:
        return cls(earliest=format_iso(view.earliest) or "", latest=format_iso(view.latest) or "")


class RunSummarySchema(ApiModel):
    """A run and its number of jobs by state."""

    run: RunSchema
    current: bool = Field(description="Whether the accounts file describes this run.")
    priority: int = Field(0, description="Priority: of the runs that wait for a job slot, the highest is first.")
    counts: dict[str, Count] = Field(
        description="Number of jobs by state; for a single run, jobs on hold are counted as `held`."
    )
    total: Count
    estimated_end: EndRangeSchema | None = Field(
        None,
        description="When the last open job may end; null in lists, without open jobs, and while fewer than "
        "five jobs of a provider have finished.",
    )

    @classmethod
    def from_view(cls, line: RunListItem | RunOverview) -> RunSummarySchema:
        found = line.end_range if isinstance(line, RunOverview) else None
        return cls(
            run=RunSchema.from_view(line.run),
            current=line.current,
            priority=line.run.priority,
            counts=line.counts,
            total=line.total,
            estimated_end=EndRangeSchema.from_view(found) if found else None,
        )


class RunListSchema(ApiModel):
    """All runs, newest first."""

    runs: list[RunSummarySchema]


class EventSchema(ApiModel):
    """An entry of the event history."""

    id: int = Field(ge=1, description="Event id; later events have larger ids.")
    at: Timestamp
    kind: EventKind = Field(description="Subject of the event.")
    note: str = Field(description="What happened.")
    cause: str = Field(description="Actor that caused the event: `service`, `operator:NAME`, `token:NAME`.")
    account: str | None
    run: str | None
    job: str | None
    deployment: str | None
    comparison: str | None
    state_before: str | None
    state: str | None = Field(description="State of the job or the deployment after the event.")
    attempt: int | None
    remote_job_id: str | None
    request_id: str | None
    message: str | None


class EventPageSchema(ApiModel):
    """A page of events, oldest first."""

    events: list[EventSchema]
    next: int | None = Field(description="Value of `after` for the next page; null if there are no more events yet.")
