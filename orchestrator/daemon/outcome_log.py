"""Journal: what the log says of an outcome. Every transition is one event; a finished model is one more."""

from __future__ import annotations

from structlog.stdlib import BoundLogger

from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.transitions import Outcome


def log_outcome(log: BoundLogger, outcome: Outcome) -> None:
    """Log an outcome that left a line in the history."""
    job, failure = outcome.job, outcome.failure
    say = log.warning if failure else log.info
    say(
        "job.transition" if job.state is not outcome.previous_state else "job.note",
        account=job.account,
        what=outcome.label,
        before=outcome.previous_state,
        after=job.state,
        attempt=job.attempts,
        job=job.id,
        file=job.remote_file_id,
        remote_job=job.remote_job_id,
        request_id=outcome.request_id,
        **({"kind": failure.kind, "message": failure.message, "hint": failure.hint} if failure else {}),
    )


def log_job_warning(log: BoundLogger, outcome: Outcome) -> None:
    """Log the job's warning where it is new."""
    job, warning = outcome.job, outcome.job.warning
    if outcome.is_warning_new and warning is not None:
        log.warning(
            "job.warned",
            account=job.account,
            job=job.id,
            state=job.state,
            remote_job=job.remote_job_id,
            kind=warning.kind,
            message=warning.message,
            hint=warning.hint,
        )


def log_model_ready(log: BoundLogger, outcome: Outcome, key_fingerprint: str | None) -> None:
    """Log the model id of an account that has just got it."""
    job = outcome.job
    if job.state is JobState.SUCCEEDED:
        log.info(
            "model.ready",
            account=job.account,
            provider=job.provider,
            key=key_fingerprint,
            base_model=job.base_model,
            fine_tuned_model=job.fine_tuned_model,
            servable=job.servable,
            **({} if job.servable else {"serving": CAPABILITIES[job.provider].serving}),
        )
