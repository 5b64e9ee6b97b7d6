"""Notifications: the events that webhooks and alerts receive, and how they are built from jobs, accounts and runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.plans.retirement import days_left
from orchestrator.core.structs import Struct, asdict
from orchestrator.core.text import format_count

ACCOUNT_HELD_STATE: Final = "held"
TEST_TYPE: Final = "notification.test"  # not a Topic: it reports nothing, so that no target subscribes to it
RUN_INCOMPLETE_HINT = "`orchestrator status` shows the reasons; `orchestrator retry` trains the failed jobs again."


class Topic(StrEnum):
    """The type of a notification, as in the webhook payload and in `events` of the accounts file."""

    MODEL_READY = "model.ready"
    JOB_FAILED = "job.failed"
    JOB_WARNING = "job.warning"
    ACCOUNT_HELD = "account.held"
    RUN_FINISHED = "run.finished"
    MODEL_RETIRING = "model.retiring"
    DEPLOYMENT_READY = "deployment.ready"
    DEPLOYMENT_EXPIRING = "deployment.expiring"
    DEPLOYMENT_FAILED = "deployment.failed"
    DEPLOYMENT_GONE = "deployment.gone"
    COMPARISON_FINISHED = "comparison.finished"


TOPIC_DESCRIPTIONS: Final[dict[Topic, str]] = {
    Topic.MODEL_READY: "An account's fine-tuned model is ready.",
    Topic.JOB_FAILED: "A job has failed; `error` contains the reason.",
    Topic.JOB_WARNING: "An open job needs attention: nothing has changed for hours, or its provider reports an "
    "unknown status; `error` contains the details. It is sent once, and again only after the job has changed.",
    Topic.ACCOUNT_HELD: "An account is put on hold; `error` contains the reason and what releases it.",
    Topic.RUN_FINISHED: "No job of a run is open any more: the last one has ended, or its account was removed from "
    "the accounts file; `error` counts the jobs without a model.",
    Topic.MODEL_RETIRING: "A fine-tuned model will be shut down, or no longer exists; `error` contains the date.",
    Topic.DEPLOYMENT_READY: "A deployment has answered its first call: the model is callable by `model_string`.",
    Topic.DEPLOYMENT_EXPIRING: "A deployment is stopped within 15 minutes; it is sent once.",
    Topic.DEPLOYMENT_FAILED: "A deployment has failed, and nothing of it is billed any more; `error` contains the "
    "reason.",
    Topic.DEPLOYMENT_GONE: "The provider has removed a deployment, for example after a time without calls.",
    Topic.COMPARISON_FINISHED: "The models of a run were compared: `summary` is the verdict in one sentence and "
    "`verdicts` the number of accounts by verdict; `changed` lists the accounts whose model has changed since an "
    "earlier comparison, and `drift` is a sentence with their names. `error` contains the reason if the comparison "
    "was stopped.",
}


class Notification(Struct, frozen=True, kw_only=True):
    """One event for subscribers. A field that does not apply is None. The field names are those of the payload."""

    topic: Topic
    at: float  # when it happened, epoch seconds, UTC
    run: str | None = None  # run id
    account: str | None = None  # name in the accounts file
    provider: ProviderName | None = None
    job: str | None = None  # job id
    state: str | None = None  # of the job, of the run, or ACCOUNT_HELD_STATE
    fine_tuned_model: str | None = None  # the provider's model id
    servable: bool | None = None  # whether the model can be called without a deployment
    error: Failure | None = None
    deployment: Mapping[str, Any] | None = None  # further fields of `data`, for notifications of a deployment
    comparison: Mapping[str, Any] | None = None  # the same for notifications of a comparison

    def to_payload(self) -> dict[str, Any]:
        """Convert to the payload of a webhook: the same fields for each topic, plain values.

        Notifications of deployments and comparisons have further fields.
        """
        data = {
            name: str(value) if isinstance(value, str) else value
            for name, value in asdict(self).items()
            if name not in {"topic", "at", "error", "deployment", "comparison"}
        }
        error = self.error and {"kind": self.error.kind, "message": self.error.message, "hint": self.error.hint}
        at, more = (
            datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"),
            self.deployment or self.comparison or {},
        )
        return {"type": self.topic.value, "timestamp": at, "data": {**data, "error": error, **more}}


def build_job_notification(job: Job, before: JobState, at: float) -> Notification | None:
    """Build the notification of a job that left the state `before`; None if nobody subscribes to its new state."""
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
    """Build the notification that an open job has a warning."""
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
    """Build the notification that the job's fine-tuned model will be shut down, or no longer exists."""
    if job.gone_at is not None or job.retires_on is None:
        kind, text = "model_gone", "is no longer at the provider"
    else:
        kind, text = "model_retiring", _format_shutdown(job.retires_on, days_left(job.retires_on, at))
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
            f"the fine-tuned model {job.fine_tuned_model} {text}",
            f"`orchestrator rerun {job.run_id} --provider NAME` plans the same dataset at another provider.",
        ),
    )


def _format_shutdown(day: date, left: int) -> str:
    if left < 0:  # nobody was notified in time, because the service was not running
        return f"was shut down on {day}, {format_count(-left, 'day')} ago"
    return f"is shut down on {day}, {format_count(left, 'day') + ' from now' if left else 'today'}"


def build_account_held_notification(before: AccountState, after: AccountState, at: float) -> Notification | None:
    """Build the notification that an account is now on hold; None if it was before, or is not."""
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


def build_test_payload(at: float) -> dict[str, Any]:
    """Build the payload of a test message: the fields of every notification, and a type of its own."""
    failure = Failure(
        "test",
        "This is a test message of `orchestrator notify-test`; nothing has happened.",
        "No action is needed: notifications reach this address.",
    )
    return Notification(topic=Topic.RUN_FINISHED, at=at, error=failure).to_payload() | {"type": TEST_TYPE}


def build_run_finished_notification(run: RunId, ends: Mapping[JobState, int], at: float) -> Notification:
    """Build the notification that no job of the run is open any more. `ends` counts the jobs by terminal state."""
    missing = {state: count for state, count in ends.items() if state is not JobState.SUCCEEDED and count}
    state = next((end for end in (JobState.FAILED, JobState.CANCELLED) if end in missing), JobState.SUCCEEDED)
    error = None
    if missing:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(missing.items()))
        error = Failure(
            "run_incomplete",
            f"{sum(missing.values())} of {sum(ends.values())} jobs have no model: {counts}",
            RUN_INCOMPLETE_HINT,
        )
    return Notification(topic=Topic.RUN_FINISHED, at=at, run=run, state=state, error=error)
