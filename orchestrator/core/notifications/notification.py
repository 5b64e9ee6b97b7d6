"""Announcement: what is told to others when something they wait for has happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import AccountState
from orchestrator.core.plans.retirement import days_left
from orchestrator.core.text import format_count

ACCOUNT_HELD_STATE: Final = "held"
RUN_INCOMPLETE_HINT = "`orchestrator status` says why; `orchestrator retry` trains those that failed again."


class Topic(StrEnum):
    """What can be announced."""

    MODEL_READY = "model.ready"
    JOB_FAILED = "job.failed"
    JOB_WARNING = "job.warning"
    ACCOUNT_HELD = "account.held"
    RUN_FINISHED = "run.finished"
    MODEL_RETIRING = "model.retiring"


TOPIC_DESCRIPTIONS: Final[dict[Topic, str]] = {
    Topic.MODEL_READY: "An account has its fine-tuned model.",
    Topic.JOB_FAILED: "A job has failed; `error` says why.",
    Topic.JOB_WARNING: "An open job needs a look: nothing has changed for hours, or its provider says something "
    "that is not known; `error` says what. It is announced once, until something changes.",
    Topic.ACCOUNT_HELD: "An account is set aside; `error` says why and what releases it.",
    Topic.RUN_FINISHED: "The last open job of a run has ended, or its account has left the accounts file; "
    "`error` counts those without a model.",
    Topic.MODEL_RETIRING: "A fine-tuned model will be shut down, or is gone; `error` says when.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One event for others. `at` is epoch seconds, UTC; what does not apply is None."""

    topic: Topic
    at: float
    run: str | None = None
    account: str | None = None
    provider: ProviderName | None = None
    job: str | None = None
    state: str | None = None
    fine_tuned_model: str | None = None
    servable: bool | None = None
    error: Failure | None = None

    def to_payload(self) -> dict[str, Any]:
        """What is sent: always the same fields, plain values."""
        data = {
            name: str(value) if isinstance(value, str) else value
            for name, value in asdict(self).items()
            if name not in {"topic", "at", "error"}
        }
        error = self.error and {"kind": self.error.kind, "message": self.error.message, "hint": self.error.hint}
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds")
        return {"type": self.topic.value, "timestamp": at, "data": data | {"error": error}}


def build_job_notification(job: Job, before: JobState, at: float) -> Notification | None:
    """What a job's new state is worth telling; None when it is not."""
    topics = {JobState.SUCCEEDED: Topic.MODEL_READY, JobState.FAILED: Topic.JOB_FAILED}
    if job.state is before or job.state not in topics:
        return None
    return Notification(
        topic=topics[job.state],
        at=at,
        run=job.run_id,
        account=job.account,
        provider=job.provider,
        job=job.id,
        state=job.state,
        fine_tuned_model=job.fine_tuned_model,
        servable=job.servable if job.fine_tuned_model else None,
        error=job.failure,
    )


def build_warning_notification(job: Job, at: float) -> Notification:
    """That a job which goes on needs a look."""
    return Notification(
        topic=Topic.JOB_WARNING,
        at=at,
        run=job.run_id,
        account=job.account,
        provider=job.provider,
        job=job.id,
        state=job.state,
        error=job.warning,
    )


def build_model_retirement_notification(job: Job, at: float) -> Notification:
    """That the job's model will be shut down, or is there no more."""
    if job.gone_at is not None or job.retires_on is None:
        kind, said = "model_gone", "is no longer at the provider"
    else:
        left = days_left(job.retires_on, at)
        kind, said = (
            "model_retiring",
            f"is shut down on {job.retires_on}, {format_count(left, 'day')} from now",
        )
    return Notification(
        topic=Topic.MODEL_RETIRING,
        at=at,
        run=job.run_id,
        account=job.account,
        provider=job.provider,
        job=job.id,
        state=job.state,
        fine_tuned_model=job.fine_tuned_model,
        servable=job.servable,
        error=Failure(
            kind,
            f"the fine-tuned model {job.fine_tuned_model} {said}",
            f"`orchestrator rerun {job.run_id} --provider NAME` plans the same dataset elsewhere.",
        ),
    )


def build_account_held_notification(before: AccountState, after: AccountState, at: float) -> Notification | None:
    """That an account is set aside which was not before."""
    if before.hold or not after.hold:
        return None
    return Notification(
        topic=Topic.ACCOUNT_HELD,
        at=at,
        account=after.name,
        provider=after.provider,
        state=ACCOUNT_HELD_STATE,
        error=after.hold.failure,
    )


def build_run_finished_notification(run: RunId, ends: Mapping[JobState, int], at: float) -> Notification:
    """That no job of the run is open any more, given how many ended how."""
    missing = {state: count for state, count in ends.items() if state is not JobState.SUCCEEDED and count}
    state = next((end for end in (JobState.FAILED, JobState.CANCELLED) if end in missing), JobState.SUCCEEDED)
    error = None
    if missing:
        told = ", ".join(f"{count} {state}" for state, count in sorted(missing.items()))
        error = Failure(
            "run_incomplete",
            f"{sum(missing.values())} of {sum(ends.values())} jobs have no model: {told}",
            RUN_INCOMPLETE_HINT,
        )
    return Notification(topic=Topic.RUN_FINISHED, at=at, run=run, state=state, error=error)
