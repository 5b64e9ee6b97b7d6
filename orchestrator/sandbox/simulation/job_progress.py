"""Computes the metrics, events and checkpoints of a job from its record and its timeline."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from math import ceil, exp
from typing import Any

from orchestrator.sandbox.faults import deterministic_random
from orchestrator.sandbox.records import SandboxJob
from orchestrator.sandbox.simulation.job_timeline import NEVER, Timeline

MAX_METRICS_EVENTS = 200  # metrics events of one job, spread evenly over its steps
MAX_CHECKPOINTS = 3


def count_steps(job: SandboxJob) -> int:
    """Return the number of training steps (batches) in all epochs."""
    return _count_steps_per_epoch(job) * int(job.resolved["n_epochs"])


def build_metrics(job: SandboxJob, step: int) -> dict[str, float]:
    """Build the metrics of a step: a falling loss with noise, equal for the same data, seed and model."""
    share = step / count_steps(job)
    noise = deterministic_random(job.training_sha256, job.seed, job.model, step) - 0.5
    loss = 0.35 + 2.0 * exp(-3.5 * share) + 0.08 * noise
    values = {
        "train_loss": round(loss, 4),
        "train_mean_token_accuracy": round(min(0.99, 0.95 - 0.3 * exp(-3 * share) - 0.02 * noise), 4),
    }
    if job.validation_file is not None:
        values |= {"valid_loss": round(loss + 0.05 + 0.1 * share, 4)}
    return values


def list_reported_steps(job: SandboxJob) -> list[int]:
    """List the steps that have a metrics event, always including the first and the last."""
    total = count_steps(job)
    return sorted({1, *(ceil(total * n / MAX_METRICS_EVENTS) for n in range(1, MAX_METRICS_EVENTS + 1))})


def build_events(job: SandboxJob, timeline: Timeline, now: float) -> list[dict[str, Any]]:
    """Build the events until the time `now`, newest first."""
    moments = [moment for moment in _build_moments(job, timeline) if moment[0] <= now]
    moments.sort(key=lambda moment: moment[0])
    return [_build_event(job, *moment) for moment in reversed(moments)]


def build_checkpoints(job: SandboxJob, timeline: Timeline, now: float) -> list[dict[str, Any]]:
    """Build the last checkpoints that exist at the time `now`, newest first."""
    checkpoints = []
    for step in _list_checkpoint_steps(job):
        at = timeline.find_time_of_share(step / count_steps(job))
        if at <= now:
            checkpoints.append(_build_checkpoint(job, step, at))
    return checkpoints[::-1]


def list_checkpoint_models(job: SandboxJob) -> list[str]:
    """List the model ids of the last checkpoints, oldest first."""
    return [_checkpoint_model_id(job, step) for step in _list_checkpoint_steps(job)]


def _checkpoint_model_id(job: SandboxJob, step: int) -> str:
    """Return the model id of a checkpoint. The checkpoint of the last step is the fine-tuned model itself."""
    return job.fine_tuned_model if step == count_steps(job) else f"{job.fine_tuned_model}:ckpt-step-{step}"


Moment = tuple[float, str, str, dict[str, Any]]
"""(epoch seconds, key of its id, message, data)"""


def _build_moments(job: SandboxJob, timeline: Timeline) -> Iterator[Moment]:
    yield timeline.created, "created", f"Created fine-tuning job: {job.id}", {}
    yield timeline.created, "validating", f"Validating training file: {job.training_file}", {}
    if timeline.validated < timeline.ended:
        yield timeline.validated, "queued", "Files validated, moving job to queued state", {}
    if timeline.started < NEVER:
        yield timeline.started, "started", "Fine-tuning job started", {}
        yield from _build_training_moments(job, timeline)
    yield from _build_end_moments(job, timeline)


def _build_training_moments(job: SandboxJob, timeline: Timeline) -> Iterator[Moment]:
    total = count_steps(job)
    for number, (since, until) in enumerate(timeline.pauses):
        yield since, f"paused-{number}", "Fine-tuning job paused", {}
        yield until, f"resumed-{number}", "Fine-tuning job resumed", {}
    for step in list_reported_steps(job):
        data = {"step": step, "total_steps": total} | build_metrics(job, step)
        message = f"Step {step}/{total}: training loss={data['train_loss']:.2f}"
        yield timeline.find_time_of_share(step / total), f"step-{step}", message, data
    for step in _list_checkpoint_steps(job)[:-1]:
        yield (
            timeline.find_time_of_share(step / total),
            f"checkpoint-{step}",
            f"Checkpoint created at step {step}",
            {},
        )


def _build_end_moments(job: SandboxJob, timeline: Timeline) -> Iterator[Moment]:
    if timeline.outcome == "succeeded":
        yield timeline.model_available, "model", f"New fine-tuned model created: {job.fine_tuned_model}", {}
        yield timeline.ended, "succeeded", "The job has successfully completed", {}
    elif timeline.outcome == "cancelled":
        yield timeline.ended, "cancelled", "The job has been cancelled", {}
    else:
        yield timeline.ended, "failed", build_job_error(job)["message"], {}


def build_job_error(job: SandboxJob) -> dict[str, Any]:
    """Return the `error` object of a job that failed in validation or in training."""
    if job.problem is not None:
        return job.problem
    fate = job.fate["fail_job"]
    message = fate["message"] or "The job failed due to an internal error."
    return {"code": fate["code"] or "server_error", "message": message, "param": None}


def _build_event(job: SandboxJob, at: float, key: str, message: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{_hash_id(job.id, key)}",
        "created_at": int(at),
        "level": "error" if key == "failed" else "warn" if key == "cancelled" else "info",
        "message": message,
        "type": "metrics" if data else "message",
        "data": data,
    }


def _build_checkpoint(job: SandboxJob, step: int, at: float) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": f"ftckpt_{_hash_id(job.id, f'checkpoint-{step}')}",
        "created_at": int(at),
        "fine_tuned_model_checkpoint": _checkpoint_model_id(job, step),
        "fine_tuning_job_id": job.id,
        "step_number": step,
        "metrics": {"step": step} | build_metrics(job, step),
    }


def _count_steps_per_epoch(job: SandboxJob) -> int:
    return max(1, ceil(job.examples / int(job.resolved["batch_size"])))


def _list_checkpoint_steps(job: SandboxJob) -> list[int]:
    epochs = int(job.resolved["n_epochs"])
    return [_count_steps_per_epoch(job) * epoch for epoch in range(max(1, epochs - MAX_CHECKPOINTS + 1), epochs + 1)]


def _hash_id(*parts: str) -> str:
    return blake2b(":".join(parts).encode(), digest_size=12).hexdigest()
