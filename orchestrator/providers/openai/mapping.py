"""Converts between the values of the core and the requests and responses of OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final, assert_never

import msgspec

from orchestrator.core.account import HyperparameterFormat
from orchestrator.core.dataset import short_tag
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.loss import Loss, parse_loss
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.core.remote import (
    RemoteEvent,
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
    RemoteModel,
)
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import JobOrder
from orchestrator.providers.http.response_decoder import (
    count_or_none,
    number_or_none,
    parse_hyperparameters,
    text_or_none,
)
from orchestrator.providers.openai.dialects import FILE_STATUS, JOB_STATUS, Dialect
from orchestrator.providers.openai.responses import (
    OpenAICheckpoint,
    OpenAIEvent,
    OpenAIFile,
    OpenAIJob,
    OpenAIListedFile,
    OpenAIModel,
    OpenAIModeration,
)
from orchestrator.providers.tagging import tagged_suffix

TAG_METADATA_KEY: Final = "orchestrator_job"


def build_create_arguments(order: JobOrder, dialect: Dialect) -> dict[str, Any]:
    """Build the arguments of `fine_tuning.jobs.create`."""
    spec = order.spec
    values: dict[str, Any] = {
        "model": spec.base_model,
        "training_file": order.training_file,
        "validation_file": order.validation_file,
        "suffix": _build_suffix(order, dialect),
        "seed": spec.seed,
        **_build_hyperparameter_fields(spec, dialect),
        "metadata": {TAG_METADATA_KEY: order.tag} if dialect.uses_metadata_tag else None,
        "extra_body": {
            wire: value for name, wire in dialect.extra_body_fields.items() if (value := getattr(spec, name))
        },
    }
    return {name: value for name, value in values.items() if value} | ({"seed": spec.seed} if spec.seed == 0 else {})


def _build_suffix(order: JobOrder, dialect: Dialect) -> str | None:
    length = dialect.suffix_length
    if dialect.suffix_fits_tag(order.tag):
        return tagged_suffix(order, length)
    if order.spec.suffix or not dialect.suffix_required:
        return order.spec.suffix and order.spec.suffix[:length]
    # Never a part of the round: "…-1", cut from "…-10", would be the tag of another round.
    return _tag_without_round(order)[:length]


def _tag_without_round(order: JobOrder) -> str:
    return short_tag(order.tag).rpartition("-")[0]


def _build_hyperparameter_fields(spec: TrainingSpec, dialect: Dialect) -> dict[str, Any]:
    """Build `method`, or the older field `hyperparameters`, or both, as the server reads them."""
    options = {wire: getattr(spec, name) for name, wire in dialect.hyperparameter_names.items()}
    left_open = (None,) if dialect.accepts_auto else (None, "auto")
    chosen = {wire: value for wire, value in options.items() if value not in left_open}
    values = {**dialect.default_hyperparameters, **chosen}
    match dialect.hyperparameter_format:
        case HyperparameterFormat.METHOD:
            return {"method": _build_method(spec, values)}
        case HyperparameterFormat.BOTH:
            return {"method": _build_method(spec, values), "hyperparameters": values}
        case HyperparameterFormat.FLAT if spec.method == "supervised":
            return {"hyperparameters": values}
        case HyperparameterFormat.FLAT:  # without the type, the server would start another kind of training
            return {"method": {"type": spec.method}, "hyperparameters": values}
    assert_never(dialect.hyperparameter_format)


def _build_method(spec: TrainingSpec, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": spec.method, spec.method: {"hyperparameters": hyperparameters}}


def to_remote_model(model: OpenAIModel) -> RemoteModel:
    """Convert a base model. OpenAI reports its last day; Azure two times, and whether it can be tuned."""
    ends = model.deprecation if isinstance(model.deprecation, dict) else {}
    capabilities = model.capabilities if isinstance(model.capabilities, dict) else {}
    tunable = capabilities.get("fine_tune")
    return RemoteModel(
        id=model.id,
        tunable=tunable if isinstance(tunable, bool) else None,
        shutdown=date.fromisoformat(model.shutdown_date) if model.shutdown_date else _to_date(ends.get("inference")),
        training_ends=_to_date(ends.get("fine_tune")),
    )


def _to_date(seconds: float | None) -> date | None:
    return datetime.fromtimestamp(seconds, UTC).date() if seconds else None


def to_remote_file(file: OpenAIFile | OpenAIListedFile) -> RemoteFile:
    """Convert a file."""
    raw = file.status or ""
    return RemoteFile(
        id=file.id,
        status=FILE_STATUS.get(raw.lower(), RemoteFileStatus.UPLOADED),
        raw_status=raw,
        message=text_or_none(file.status_details),
        filename=text_or_none(file.filename),
        bytes=count_or_none(file.bytes),
    )


def to_remote_job(job: OpenAIJob, dialect: Dialect, request_id: str | None = None) -> RemoteJob:
    """Convert a job."""
    raw = job.status
    # A healthy job may carry an error object full of nulls: failure is the status, not the presence of an error.
    error = job.error if isinstance(job.error, dict) else {}
    return RemoteJob(
        id=job.id,
        status=JOB_STATUS.get(raw.lower(), RemoteJobStatus.UNKNOWN),
        raw_status=raw,
        training_file=job.training_file or "",
        base_model=job.model or "",
        fine_tuned_model=job.fine_tuned_model or None,
        servable=dialect.capabilities.servable,
        error_code=text_or_none(error.get("code")),
        error_message=text_or_none(error.get("message")),
        organization=text_or_none(job.organization_id),
        trained_tokens=count_or_none(job.trained_tokens),
        created_at=number_or_none(job.created_at),
        estimated_finish=number_or_none(job.estimated_finish),
        hyperparameters=parse_hyperparameters(_find_method_hyperparameters(job.method) or job.hyperparameters),
        request_id=request_id,
    )


def _find_method_hyperparameters(method: object) -> object:
    kind = method.get("type") if isinstance(method, dict) else None
    options = method.get(kind) if isinstance(method, dict) and isinstance(kind, str) else None
    return options.get("hyperparameters") if isinstance(options, dict) else None


def metadata_has_tag(job: OpenAIJob, order: JobOrder) -> bool:
    """Return whether the job's metadata has the order's tag."""
    return isinstance(job.metadata, dict) and job.metadata.get(TAG_METADATA_KEY) == order.tag


def metadata_tag_or_empty(job: OpenAIJob) -> str | None:
    """Return the tag in the job's metadata; "" if it has none, None if the server does not show the metadata."""
    if job.metadata is msgspec.UNSET:
        return None
    return str((job.metadata or {}).get(TAG_METADATA_KEY) or "")


def find_metadata_tag(job: OpenAIJob) -> str | None:
    """Return the tag in the job's metadata; None for a job without one and a server without metadata."""
    return str(job.metadata.get(TAG_METADATA_KEY) or "") or None if isinstance(job.metadata, dict) else None


def find_suffix(job: OpenAIJob) -> str | None:
    """Return the job's suffix, which servers name differently; None if the server does not show it."""
    return job.user_provided_suffix or job.suffix or None


def build_suffix_getter(order: JobOrder) -> Callable[[OpenAIJob], str | None]:
    """Build a function like `find_suffix` that also returns None for a suffix that may be a part of the order's.

    Such a job may have been created for this order while the option `suffix_length` left no room for the tag.
    """
    shortened = (order.spec.suffix or "", _tag_without_round(order))

    def find_tagged_suffix(job: OpenAIJob) -> str | None:
        if other_tag := find_metadata_tag(job):  # the order's own was searched for before: this is another job's
            return other_tag
        suffix = find_suffix(job)
        return None if suffix and any(whole.startswith(suffix) for whole in shortened) else suffix

    return find_tagged_suffix


def to_remote_event(event: OpenAIEvent) -> RemoteEvent:
    """Convert an event of a job."""
    return RemoteEvent(at=number_or_none(event.created_at) or 0.0, message=text_or_none(event.message) or "")


def find_loss(event: OpenAIEvent) -> Loss | None:
    """Return the losses that an event reports; None if it reports none."""
    data = event.data if isinstance(event.data, dict) else {}
    training, validation = data.get("train_loss"), data.get("full_valid_loss", data.get("valid_loss"))
    return parse_loss(data.get("step"), training, validation)


def to_checkpoint(saved: OpenAICheckpoint, dialect: Dialect) -> Checkpoint | None:
    """Convert a checkpoint; None for one that does not show its step, or the model by which it is called."""
    model = saved.id if dialect.uses_checkpoint_ids else saved.fine_tuned_model_checkpoint
    if saved.step_number is None or not model:
        return None
    metrics = saved.metrics if isinstance(saved.metrics, dict) else {}
    return Checkpoint(
        id=saved.id,
        step=saved.step_number,
        model=model,
        training_loss=number_or_none(metrics.get("train_loss")),
        validation_loss=number_or_none(metrics.get("full_valid_loss", metrics.get("valid_loss"))),
    )


def to_moderation_verdict(result: OpenAIModeration) -> ModerationVerdict:
    """Convert the moderation's result for one text."""
    return ModerationVerdict(
        flagged=result.flagged,
        categories=tuple(sorted(name for name, flagged in result.categories.items() if flagged)),
        scores={name: score for name, score in result.category_scores.items() if score is not None},
    )
