"""The row of an account's job in the table of the run page."""

from __future__ import annotations

from orchestrator.core.account import Account
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES
from orchestrator.core.providers import ConsoleResource, find_console_url
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_age, format_duration, format_remaining_time, format_time, to_percent
from orchestrator.status import BY_ITSELF, NOT_DEPLOYED, JobView, RunView
from orchestrator.web.dashboard.attention import needs_operator
from orchestrator.web.dashboard.state_display import STATE_MEANINGS, STATE_TONES, displayed_state


class JobRow(Struct, frozen=True, kw_only=True):
    """View of a row. An error that is not `urgent` resolves itself without an operator."""

    account: str
    provider: str
    organization: str | None
    labels: tuple[str, ...]
    state: str
    tone: str
    meaning: str
    since: str
    percent: int | None
    remote_job_id: str | None
    remote_job_url: str | None  # of the provider's console
    fine_tuned_model: str | None
    servable: bool | None
    serving_note: str  # until when the model is callable, or what it needs; empty if it is callable by itself
    usd: float | None
    retires_on: str | None
    error: Failure | None
    warning: Failure | None
    waiting: str | None
    urgent: bool

    @classmethod
    def from_job(cls, job: JobView, run: RunView | None, now: float, listed: Account | None = None) -> JobRow:
        """Build the row of a job; `now` is Unix time, `listed` its account in the accounts file."""
        state = displayed_state(job)
        return cls(
            account=job.account,
            provider=job.provider,
            organization=job.organization,
            labels=tuple(job.labels),
            state=state,
            tone=STATE_TONES[state],
            meaning=STATE_MEANINGS[state],
            since=_format_since(job, now),
            percent=None if job.progress is None or job.state in TERMINAL_STATES else to_percent(job.progress),
            remote_job_id=job.remote_job_id,
            remote_job_url=find_console_url(listed, ConsoleResource.JOB, job.remote_job_id),
            fine_tuned_model=job.fine_tuned_model,
            servable=job.servable,
            serving_note=_format_serving(job),
            usd=job.estimated_usd,
            retires_on=job.retires_on,
            error=job.error,
            warning=job.warning,
            waiting=_format_wait(job, now),
            urgent=needs_operator(job, run),
        )


def _format_wait(job: JobView, now: float) -> str | None:
    if not job.waits_for:
        return None
    next_check = f", next check in {format_remaining_time(job.wake_at - now)}" if job.wake_at is not None else ""
    return f"waits for {job.waits_for}{next_check}"


def _format_since(job: JobView, now: float) -> str:
    age = now - job.state_since
    if job.state in TERMINAL_STATES or age < 60:
        return format_age(age)
    return f"for {format_duration(age)}"


def _format_serving(job: JobView) -> str:
    serving = job.serving
    if serving is None or serving.state == BY_ITSELF:
        return "must be deployed before use" if job.fine_tuned_model and job.servable is False else ""
    if serving.callable and serving.expires_at is not None:
        return f"callable until {format_time(serving.expires_at)}"
    if serving.state == NOT_DEPLOYED or serving.state in TERMINAL_DEPLOYMENT_STATES:
        return "must be deployed before use"
    return f"its deployment is {serving.state}"
