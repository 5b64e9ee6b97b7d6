"""Documents: what the API answers, field by field. OpenAPI and the reference page are made of this."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.status import JobView, RunListItem, RunOverview, RunView, view_to_dict

ShortText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^[^\x00]*$")]
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
EventKind = Literal["job", "account", "run", "service"]
Count = Annotated[int, Field(ge=0)]


class ApiModel(BaseModel):
    """What is answered. A field that is new in the read model is not told until it is described here."""


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="What HTTP calls it.")
    status: int
    detail: str = Field(description="What is wrong.")
    hint: str | None = Field(None, description="What to do next.")
    kind: str | None = Field(None, description="The kind of an error of ours, see the list of errors.")


class ErrorInfo(ApiModel):
    """What keeps something from going on, or ended it."""

    kind: str = Field(description="One of the kinds of errors or holds.")
    message: str
    hint: str = Field(description="What to do next.")
    request_id: str | None = Field(description="The provider's id of the request, for its support.")


class JobSchema(ApiModel):
    """One account's share of a run."""

    account: str = Field(description="The account's name in the accounts file.")
    provider: ProviderName
    base_model: str = Field(description="What is fine-tuned.")
    labels: list[str] = Field(description="The account's labels.")
    organization: str | None = Field(description="The organisation that the account's key belongs to, once known.")
    job: str = Field(description="Our id of the job: the same work always has the same.")
    state: JobState
    held: bool = Field(description="Whether it is set aside; `error` says why.")
    remote_file_id: str | None = Field(description="The provider's id of the training file.")
    remote_job_id: str | None = Field(description="The provider's id of the fine-tuning job.")
    remote_status: str | None = Field(description="The provider's own word for the job's state.")
    fine_tuned_model: str | None = Field(description="The model id, once there is one.")
    servable: bool | None = Field(description="Whether the model can be called as it is; null without a model.")
    serving_hint: str | None = Field(description="What a model needs that cannot be called as it is.")
    progress: float | None = Field(ge=0, le=1, description="From 0 to 1; null where the provider does not say.")
    error: ErrorInfo | None = Field(description="What keeps it from going on, or ended it.")
    warning: ErrorInfo | None = Field(
        description="What a person should know though the job goes on, as long as it is so."
    )
    waits_for: str | None = Field(description="What it waits for without an error; `wake_at` is the next look.")
    attempts: Count = Field(description="Failed calls in a row.")
    round: Count = Field(description="How often an operator retried it.")
    hyperparameters: dict[str, Any] = Field(description="What the provider says it really used.")
    trained_tokens: int | None = Field(description="What the provider counted.")
    estimated_usd: float | None = Field(description="The plan's price, in US dollars.")
    quoted_usd: float | None = Field(description="The provider's price, where it says one.")
    retires_on: str | None = Field(description="The last day on which the model can be called.")
    days_left: int | None = Field(description="How many days that is from now.")
    gone_at: Timestamp | None = Field(description="When the model was first missed at the provider.")
    created_at: Timestamp
    state_since: Timestamp = Field(description="Since when it is in its state.")
    changed_at: Timestamp = Field(
        description="Since when nothing has changed, by its state and the provider's progress."
    )
    submitted_at: Timestamp | None = Field(description="When the provider got the job.")
    finished_at: Timestamp | None
    wake_at: Timestamp | None = Field(description="When it is looked at again; null: when somebody does something.")
    latest_event: str | None = Field(description="What happened last.")
    replica: str | None = Field(description="The process that advanced it last.")

    @classmethod
    def from_view(cls, view: JobView) -> JobSchema:
        return cls.model_validate(view_to_dict(view))


class RunSchema(ApiModel):
    """One dataset and one training spec across a set of accounts."""

    id: str = Field(description="The hash of dataset and specs.")
    name: str
    dataset_sha256: str
    examples: Count = Field(description="Examples to train on.")
    tokens: int | None = Field(description="Their tokens; null where nothing counts them.")
    specs: dict[str, dict[str, Any]] = Field(description="By provider: base model, method and hyperparameters.")
    started: bool = Field(description="Whether jobs are created; else files are only replicated.")
    approved_by: str | None = Field(description="Who let it go on in spite of its price.")
    planned_usd: float | None = Field(description="The price of all its jobs; null is unknown.")
    holds: list[ErrorInfo] = Field(description="What sets the whole run aside.")
    moderation: dict[str, Any] | None = Field(
        description="The moderation's record: state, by, at, texts, reason, hint; and progress, while it continues "
        "by itself: judged, total, finish_at (an estimate), attempts, retry_at."
    )
    created_at: Timestamp
    pins: dict[str, dict[str, Any] | None] = Field(
        description="By provider: the values that its first job got and all others get; null while they are unknown."
    )
    warnings: list[str] = Field(description="What is worth knowing, and holds nothing.")

    @classmethod
    def from_view(cls, view: RunView) -> RunSchema:
        return cls.model_validate(view_to_dict(view))


class ReplicaSchema(ApiModel):
    """A process that does the work."""

    id: str
    host: str
    pid: int
    started_at: Timestamp
    seen_at: Timestamp = Field(description="Its last sign of life.")
    alive_until: Timestamp = Field(description="After this it counts as dead.")


class StatusDocument(ApiModel):
    """`/status`: the current run and every job of it. Fields are added, never changed, within one `schema`."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_: Literal[1] = Field(alias="schema", description="The version of this document.")
    run: RunSchema | None = Field(description="Null until something was planned.")
    counts: dict[str, Count] = Field(description="Jobs by state, those that are set aside as `held`.")
    settled: bool = Field(description="Nothing happens any more unless a person does something.")
    replicas: list[ReplicaSchema]
    jobs: list[JobSchema]
    problem: ErrorInfo | None = Field(description="Why the accounts file as it is now is not in force.")


class Liveness(ApiModel):
    """The process lives."""

    alive: Literal[True]


class Readiness(ApiModel):
    """Whether the service can do its work, and which part cannot."""

    ready: bool
    database: bool = Field(description="Whether the database answers.")
    ticking: bool = Field(description="Whether the service looks after its jobs.")
    reason: str | None = Field(description="Why it is not ready.")


class JobPageSchema(ApiModel):
    """Jobs by account name."""

    jobs: list[JobSchema]
    total: Count = Field(description="How many match, on all pages.")
    counts: dict[str, Count] = Field(description="The same filter in whatever state, by state or `held`.")
    next: str | None = Field(description="`after` of the next page; null on the last.")


class ModelSchema(ApiModel):
    """A fine-tuned model and what is needed to call it, but the key."""

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

    @classmethod
    def from_view(cls, view: JobView) -> ModelSchema:
        values = view_to_dict(view)
        return cls.model_validate({name: values[name] for name in cls.model_fields})


class ModelPageSchema(ApiModel):
    """Models by account name."""

    models: list[ModelSchema]
    total: Count = Field(description="How many match, on all pages.")
    next: str | None = Field(description="`after` of the next page; null on the last.")


class RunSummarySchema(ApiModel):
    """A run and how its jobs stand."""

    run: RunSchema
    current: bool = Field(description="Whether it is what the accounts file asks for.")
    counts: dict[str, Count] = Field(description="Jobs by state; of one run, those that are set aside as `held`.")
    total: Count

    @classmethod
    def from_view(cls, line: RunListItem | RunOverview) -> RunSummarySchema:
        return cls(run=RunSchema.from_view(line.run), current=line.current, counts=line.counts, total=line.total)


class RunListSchema(ApiModel):
    """Every run, the newest first."""

    runs: list[RunSummarySchema]


class EventSchema(ApiModel):
    """A line of the history."""

    id: int = Field(ge=1, description="Later lines have larger ids.")
    at: Timestamp
    kind: EventKind = Field(description="What it happened to.")
    note: str = Field(description="What happened.")
    cause: str = Field(description="Who or what caused it: `service`, `operator:NAME`, `token:NAME`.")
    account: str | None
    run: str | None
    job: str | None
    state_before: str | None
    state: str | None = Field(description="The job's state since.")
    attempt: int | None
    remote_job_id: str | None
    request_id: str | None
    message: str | None


class EventPageSchema(ApiModel):
    """Events, the oldest first."""

    events: list[EventSchema]
    next: int | None = Field(description="`after` of the next page; null when this is all there is now.")
