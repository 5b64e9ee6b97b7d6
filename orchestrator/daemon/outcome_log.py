"""Log events of job outcomes: one for every recorded change, and one more for a new warning or a finished model."""

from __future__ import annotations

import logging

from structlog.stdlib import BoundLogger

from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.transitions import Outcome


def log_outcome(log: BoundLogger, outcome: Outcome) -> None:
    """Log an outcome that has a line in the history: at level warning where an attempt failed, otherwise info."""
    job, failure = outcome.job, outcome.failure
    log.log(
        logging.WARNING if failure else logging.INFO,
        "job.state_changed" if job.state is not outcome.previous_state else "job.updated",
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
    """Log the job's warning, if this outcome is the first to have it."""
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
    """Log the model id when the job has just succeeded."""
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
