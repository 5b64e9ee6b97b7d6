"""Converts orders to the bodies of Vertex AI's requests, and its jobs to remote jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.core.dataset import short_tag
from orchestrator.core.errors import RequestRejected
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.remote import RemoteEvent, RemoteJob, RemoteJobStatus
from orchestrator.providers.base import JobOrder
from orchestrator.providers.http.response_decoder import count_or_none, name_or_none, number_or_none, text_or_none
from orchestrator.providers.http.rest_client import epoch_from_iso
from orchestrator.providers.tagging import tagged_suffix
from orchestrator.providers.vertex.responses import VertexJob, VertexTunedModel

LABEL: Final = "orchestrator"
MAX_DISPLAY_NAME_LENGTH: Final = 128
ADAPTER_SIZES: Final[Mapping[int, str]] = {1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN", 32: "THIRTY_TWO"}
JOB_STATUS: Final[Mapping[str, RemoteJobStatus]] = {
    "UNSPECIFIED": RemoteJobStatus.PENDING,
    "QUEUED": RemoteJobStatus.PENDING,
    "PENDING": RemoteJobStatus.PENDING,
    "RUNNING": RemoteJobStatus.RUNNING,
    "UPDATING": RemoteJobStatus.RUNNING,
    "PAUSED": RemoteJobStatus.PAUSED,
    "CANCELLING": RemoteJobStatus.CANCELLING,
    "CANCELLED": RemoteJobStatus.CANCELLED,
    "SUCCEEDED": RemoteJobStatus.SUCCEEDED,
    "FAILED": RemoteJobStatus.FAILED,
    "EXPIRED": RemoteJobStatus.FAILED,
}
PARTIAL_SUCCESS: Final = "PARTIALLY_SUCCEEDED"
STATE_PREFIX: Final = "JOB_STATE_"
DETAIL_PREFIX: Final = "TUNING_JOB_STATE_"
WAITING_DETAILS: Final = frozenset({"WAITING_FOR_QUOTA", "WAITING_FOR_CAPACITY"})
"""Details of a job that does not train yet, whatever its state: for the account's quota, or for Google's capacity."""
MAX_NOTED_REASONS: Final = 3


def build_job_body(order: JobOrder) -> dict[str, Any]:
    """Build the body that creates a job. A value that is left open is left out: the provider then chooses it."""
    spec = order.spec
    parameters = {
        "epochCount": None if spec.n_epochs == "auto" else spec.n_epochs,
        "learningRateMultiplier": (
            None if spec.learning_rate_multiplier == "auto" else spec.learning_rate_multiplier
        ),
        "adapterSize": _find_adapter_size(spec.lora_rank),
    }
    tuning: dict[str, Any] = {"trainingDatasetUri": order.training_file}
    if order.validation_file:
        tuning["validationDatasetUri"] = order.validation_file
    if chosen := {name: value for name, value in parameters.items() if value is not None}:
        tuning["hyperParameters"] = chosen
    return {
        "baseModel": spec.base_model,
        "supervisedTuningSpec": tuning,
        "tunedModelDisplayName": tagged_suffix(order, MAX_DISPLAY_NAME_LENGTH),
        "labels": {LABEL: short_tag(order.tag)},  # which allows no capitals and no dots
    }


def _find_adapter_size(rank: int | None) -> str | None:
    if rank is None:
        return None
    if rank not in ADAPTER_SIZES:
        sizes = ", ".join(map(str, ADAPTER_SIZES))
        raise RequestRejected(f"lora_rank = {rank} is not a size of an adapter at vertex; use one of {sizes}")
    return f"ADAPTER_SIZE_{ADAPTER_SIZES[rank]}"


def find_tag(job: VertexJob, order: JobOrder) -> str | None:
    """Return what shows the tag of a job: its label, or the end of its display name. None if it has neither.

    A job on the order's own file is the order's: the file was uploaded for it alone.
    """
    if label := job.labels.get(LABEL):
        return label
    if get_training_file(job) == order.training_file:
        return short_tag(order.tag)
    return job.tuned_model_display_name or None


def get_training_file(job: VertexJob) -> str:
    """Return the address of the training file; empty if the job does not show it."""
    return job.supervised_tuning_spec.training_dataset_uri if job.supervised_tuning_spec else ""


def to_remote_job(job: VertexJob, *, servable: bool) -> RemoteJob:
    """Convert a job. Its model id is the endpoint, which is what one calls."""
    status, raw_status = _read_status(job)
    parameters = _read_hyperparameters(job)
    tuned = job.tuned_model or VertexTunedModel()
    failed = status is RemoteJobStatus.FAILED
    error = job.error if failed else None
    return RemoteJob(
        id=job.name,
        status=status,
        raw_status=raw_status,
        training_file=get_training_file(job),
        base_model=job.base_model.rpartition("/")[2],
        fine_tuned_model=(tuned.endpoint or tuned.model or None) if status is RemoteJobStatus.SUCCEEDED else None,
        servable=servable and bool(tuned.endpoint or status is not RemoteJobStatus.SUCCEEDED),
        error_code=str(error.code) if error and error.code is not None else None,
        error_message=text_or_none(error.message) if error else None,
        trained_tokens=_read_count(_get_statistics(job), "totalBillableTokenCount") or None,
        created_at=epoch_from_iso(job.create_time),
        progress=_read_progress(job, parameters.get("n_epochs")),
        hyperparameters=parameters,
        notes=tuple(_list_notes(job)) if status is RemoteJobStatus.SUCCEEDED else (),
    )


def to_events(job: VertexJob) -> list[RemoteEvent]:
    """List what the job itself reports as its history."""
    ended, started = epoch_from_iso(job.end_time), epoch_from_iso(job.start_time)
    events = [
        RemoteEvent(at=at, message=message)
        for at, message in (
            (epoch_from_iso(job.create_time), "created"),
            (started, "started"),
            (ended, f"ended as {job.state.removeprefix(STATE_PREFIX)}"),
        )
        if at is not None
    ]
    if ended is not None:
        events += [RemoteEvent(at=ended, message=note) for note in _list_notes(job)]
    return sorted(events, key=lambda event: event.at)


def _read_status(job: VertexJob) -> tuple[RemoteJobStatus, str]:
    """Return the status and the provider's word for it: the finer one, if there is one and the job has not ended."""
    word = job.state.removeprefix(STATE_PREFIX)
    if word == PARTIAL_SUCCESS:
        has_model = job.tuned_model is not None and bool(job.tuned_model.endpoint or job.tuned_model.model)
        return (RemoteJobStatus.SUCCEEDED if has_model else RemoteJobStatus.FAILED), job.state
    status = JOB_STATUS.get(word, RemoteJobStatus.UNKNOWN)
    if status not in {RemoteJobStatus.PENDING, RemoteJobStatus.RUNNING} or not job.tuning_job_state:
        return status, job.state
    if job.tuning_job_state.removeprefix(DETAIL_PREFIX) in WAITING_DETAILS:
        status = RemoteJobStatus.PENDING
    return status, job.tuning_job_state


def _read_hyperparameters(job: VertexJob) -> dict[str, Any]:
    raw = job.supervised_tuning_spec.hyper_parameters if job.supervised_tuning_spec else None
    raw = raw if isinstance(raw, dict) else {}
    values = {
        "n_epochs": _read_count(raw, "epochCount"),
        "learning_rate_multiplier": number_or_none(raw.get("learningRateMultiplier")),
        "adapter_size": name_or_none(raw.get("adapterSize")),
    }
    return {name: value for name, value in values.items() if value is not None}


def _read_progress(job: VertexJob, epochs: Any) -> float | None:
    metadata = job.tuning_job_metadata if isinstance(job.tuning_job_metadata, dict) else {}
    done = _read_count(metadata, "completedEpochCount")
    return min(done / epochs, 1.0) if done is not None and epochs else None


def _get_statistics(job: VertexJob) -> Mapping[str, Any]:
    statistics = job.tuning_data_stats if isinstance(job.tuning_data_stats, dict) else {}
    supervised = statistics.get("supervisedTuningDataStats")
    return supervised if isinstance(supervised, dict) else {}


def to_checkpoints(job: VertexJob) -> list[Checkpoint]:
    """Convert the checkpoints of the tuned model. Each is called at an endpoint of its own."""
    tuned = job.tuned_model or VertexTunedModel()
    found = []
    for each in tuned.checkpoints if isinstance(tuned.checkpoints, list) else ():
        if not isinstance(each, dict):
            continue
        step, endpoint = _read_count(each, "step"), name_or_none(each.get("endpoint"))
        if step is not None and endpoint:
            name = name_or_none(each.get("checkpointId")) or endpoint
            found.append(Checkpoint(id=name, step=step, model=endpoint, epoch=_read_count(each, "epoch")))
    return found


def _list_notes(job: VertexJob) -> Iterator[str]:
    """Yield what the operator pays for without getting it, and the names of the model and its checkpoints."""
    statistics = _get_statistics(job)
    if truncated := _read_count(statistics, "totalTruncatedExampleCount"):
        yield f"warning: {truncated:,} examples were longer than the model accepts and were truncated"
    reasons = statistics.get("droppedExampleReasons")
    if isinstance(reasons, list) and reasons:
        shown = "; ".join(filter(None, map(text_or_none, reasons[:MAX_NOTED_REASONS])))
        yield f"warning: {len(reasons):,} examples were dropped: {shown}"
    tuned = job.tuned_model or VertexTunedModel()
    if tuned.model:
        yield f"the model is {tuned.model}"
    for checkpoint in tuned.checkpoints if isinstance(tuned.checkpoints, list) else ():
        if isinstance(checkpoint, dict) and (endpoint := name_or_none(checkpoint.get("endpoint"))):
            epoch = _read_count(checkpoint, "epoch")
            yield f"checkpoint of epoch {'?' if epoch is None else epoch}: {endpoint}"


def _read_count(values: Mapping[str, Any], name: str) -> int | None:
    """Return a count, which is a text in a response, because JSON's numbers are not exact beyond 2^53."""
    value = values.get(name)
    return count_or_none(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value)
