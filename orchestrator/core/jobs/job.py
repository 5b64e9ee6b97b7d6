"""Job: one account's share of a run. Ours; the provider's is the remote job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, NewType

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.spec import TrainingSpec, canonical_json, digest, digest_text

JobId = NewType("JobId", str)
RunId = NewType("RunId", str)


def job_id(dataset_sha256: str, provider: ProviderName, spec: TrainingSpec, account: str) -> JobId:
    """The identity of the work, so that the same work is never done twice, not even after the database is lost."""
    shared = _shared_identity_prefix(dataset_sha256, provider, spec)
    return JobId(digest_text(f"{shared},{canonical_json(account)[1:]}"))


@lru_cache(maxsize=64)
def _shared_identity_prefix(dataset_sha256: str, provider: ProviderName, spec: TrainingSpec) -> str:
    """The beginning of the text of an identity: the same for ten thousand accounts, so it is made once."""
    return canonical_json("job", dataset_sha256, provider, spec.as_dict())[:-1]


def run_id(dataset_sha256: str, specs: Mapping[ProviderName, TrainingSpec]) -> RunId:
    """The identity of a run: its dataset and its training specs."""
    return RunId(digest("run", dataset_sha256, {name: spec.as_dict() for name, spec in specs.items()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is known of one account's fine-tuning. Times are epoch seconds, UTC.

    `wake_at` is the wake-up: when the job is looked at again, None when only a person or another job wakes it.
    `attempts` counts failed calls in a row. `round` counts the times an operator retried it. `intent_until` is
    the deadline of the last intent: until then a call that creates something may be under way. `replica` is the one
    that last advanced the job. `webhook_at` is the wake-up that its provider's last webhook made. `progress` (0 to 1)
    and `quoted_usd` are as the provider says. The losses were last read at `losses_at`, up to `loss_step`.
    `earlier_usd` is what the remote jobs of earlier rounds were estimated at, None when there were none.
    Nothing has changed since `changed_at`, by our state and by the provider's progress; `warning` is what a person
    should know of this stretch. `retires_on` is the last day on which the model can be called, `gone_at` when the
    provider first did not have it any more.
    """

    id: JobId
    run_id: RunId
    account: str
    provider: ProviderName
    base_model: str
    state: JobState = JobState.PLANNED
    version: int = 1
    round: int = 0
    attempts: int = 0
    wake_at: float | None = None
    intent_until: float | None = None
    cancel_asked: bool = False
    hold: Hold | None = None
    failure: Failure | None = None
    remote_file_id: str | None = None
    remote_validation_file_id: str | None = None
    remote_job_id: str | None = None
    remote_status: str | None = None
    fine_tuned_model: str | None = None
    servable: bool | None = None
    estimated_usd: float | None = None
    earlier_usd: float | None = None
    trained_tokens: int | None = None
    estimated_finish: float | None = None
    progress: float | None = None
    quoted_usd: float | None = None
    loss_step: int | None = None
    losses_at: float | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    created_at: float
    state_since: float
    changed_at: float | None = None
    warning: Failure | None = None
    submitted_at: float | None = None
    finished_at: float | None = None
    retires_on: date | None = None
    gone_at: float | None = None
    replica: str | None = None
    webhook_at: float | None = None

    @property
    def tag(self) -> str:
        """What a remote job of ours is found again by. A retry is a new remote job, hence a new tag."""
        return f"{self.id}.{self.round}"

    @property
    def woken_by_webhook(self) -> bool:
        """Whether a webhook made the wake-up, and nobody has looked since."""
        return self.webhook_at is not None and self.wake_at == self.webhook_at
