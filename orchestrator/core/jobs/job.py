"""A job: the fine-tuning of one account in a run. The provider's counterpart is the remote job (core/remote.py)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any, NewType

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.spec import TrainingSpec, canonical_json, digest, digest_text
from orchestrator.core.structs import Struct, field

JobId = NewType("JobId", str)
RunId = NewType("RunId", str)


def job_id(dataset_sha256: str, provider: ProviderName, spec: TrainingSpec, account: str) -> JobId:
    """Derive a job's id from its work: dataset, training spec and account.

    The same work has the same id on every machine, even after the database is lost. The remote job carries the id in
    its tag, so it is found again instead of being created, and paid for, a second time.
    """
    shared = _shared_identity_prefix(dataset_sha256, provider, spec)
    return JobId(digest_text(f"{shared},{canonical_json(account)[1:]}"))


@lru_cache(maxsize=64)
def _shared_identity_prefix(dataset_sha256: str, provider: ProviderName, spec: TrainingSpec) -> str:
    """Return the first part of the hashed text. It is the same for all accounts of a run, hence the cache."""
    return canonical_json("job", dataset_sha256, provider, spec.as_dict())[:-1]


def run_id(dataset_sha256: str, specs: Mapping[ProviderName, TrainingSpec]) -> RunId:
    """Derive a run's id from its dataset and its training specs."""
    return RunId(digest("run", dataset_sha256, {name: spec.as_dict() for name, spec in specs.items()}))


def format_tag(job_id: JobId, round_number: int) -> str:
    """Format the tag of a job's remote job."""
    return f"{job_id}.{round_number}"


class Job(Struct, frozen=True, kw_only=True):
    """The stored state of a job. Times are epoch seconds, UTC. `transitions` makes every new version of it."""

    id: JobId  # identity of the work, see `job_id`
    run_id: RunId  # the run that first created it
    account: str  # name in the accounts file
    provider: ProviderName
    base_model: str
    state: JobState = JobState.PLANNED
    version: int = 1  # incremented with every change; the store's compare and set
    round: int = 0  # how often an operator retried it; part of the tag
    attempts: int = 0  # failed calls in a row
    wake_at: float | None = None  # when it is processed next; None: an operator or another job wakes it
    intent_until: float | None = None  # until then a request that creates something may still arrive at the provider
    cancel_asked: bool = False  # an operator requested a cancel that is not carried out yet
    hold: Hold | None = None  # stops everything except a cancel
    failure: Failure | None = None  # the last error; of a failed job the reason
    remote_file_id: str | None = None
    remote_validation_file_id: str | None = None
    remote_job_id: str | None = None
    remote_status: str | None = None  # the provider's own word
    fine_tuned_model: str | None = None  # the provider's model id, once the job has succeeded
    servable: bool | None = None  # whether the model can be called without a deployment
    estimated_usd: float | None = None  # price of the planned or current remote job; None: unknown
    earlier_usd: float | None = None  # estimated price of the remote jobs of earlier rounds; None: there were none
    trained_tokens: int | None = None  # as the provider reports it
    estimated_finish: float | None = None  # as the provider reports it
    progress: float | None = None  # 0 to 1, as the provider reports it
    quoted_usd: float | None = None  # price of the remote job as the provider reports it
    loss_step: int | None = None  # last training step whose losses are stored
    losses_at: float | None = None  # when the losses were last read
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)  # as the provider reports them
    created_at: float
    state_since: float  # when it entered its state
    changed_at: float | None = None  # since then neither state nor the provider's progress has changed, see stall.py
    warning: Failure | None = None  # reported once for the time since `changed_at`
    submitted_at: float | None = None  # when the intent to create the remote job was written
    finished_at: float | None = None
    retires_on: date | None = None  # last day on which the fine-tuned model can be called
    gone_at: float | None = None  # when the provider first no longer had the fine-tuned model
    replica: str | None = None  # the replica that made the last change
    webhook_at: float | None = None  # the `wake_at` that the provider's last webhook set

    @property
    def tag(self) -> str:
        """The text by which the remote job is found again. A retry creates another remote job, hence another tag."""
        return format_tag(self.id, self.round)

    @property
    def is_deselected(self) -> bool:
        """Whether the job's run no longer selects its account: the job may not be submitted."""
        return self.hold is not None and self.hold.kind == HoldKind.NOT_SELECTED

    @property
    def woken_by_webhook(self) -> bool:
        """Whether a webhook set the wake-up, and the job has not been processed since."""
        return self.webhook_at is not None and self.wake_at == self.webhook_at
