"""What is asked of and told by a server that speaks OpenAI's API, from and to our own values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
from openai.types.moderation import Moderation as ModerationResult

from orchestrator.core.loss import Loss, loss_at
from orchestrator.core.moderation import Verdict
from orchestrator.core.remote import FileStatus, JobStatus, RemoteEvent, RemoteFile, RemoteJob, RemoteModel
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.answers import count_of, hyperparameters_of, number_of, text_of
from orchestrator.providers.base import JobOrder
from orchestrator.providers.openai_answers import ListedFile, ShownEvent, ShownFile, ShownJob, ShownModel
from orchestrator.providers.openai_dialects import FILE_STATUS, JOB_STATUS, Dialect
from orchestrator.providers.tagging import tagged_suffix

TAG_KEY: Final = "orchestrator_job"


def creation(order: JobOrder, dialect: Dialect) -> dict[str, Any]:
    """The arguments of `fine_tuning.jobs.create`."""
    spec, length = order.spec, dialect.suffix_length
    values: dict[str, Any] = {
        "model": spec.base_model,
        "training_file": order.training_file,
        "validation_file": order.validation_file,
        "suffix": tagged_suffix(order, length)
        if dialect.carries_tag(order.tag)
        else spec.suffix and spec.suffix[:length],
        "seed": spec.seed,
        "method": _method(spec, dialect),
        "metadata": {TAG_KEY: order.tag} if dialect.keeps_metadata else None,
        "extra_body": {wire: value for name, wire in dialect.extra.items() if (value := getattr(spec, name))},
    }
    return {name: value for name, value in values.items() if value} | ({"seed": spec.seed} if spec.seed == 0 else {})


def _method(spec: TrainingSpec, dialect: Dialect) -> dict[str, Any]:
    given = {wire: getattr(spec, name) for name, wire in dialect.hyperparameters.items()}
    left_open = (None,) if dialect.says_auto else (None, "auto")
    chosen = {wire: value for wire, value in given.items() if value not in left_open}
    return {"type": spec.method, spec.method: {"hyperparameters": {**dialect.always, **chosen}}}


def model_of(model: ShownModel) -> RemoteModel:
    """A base model as the server shows it. OpenAI names its last day, Azure two times and whether it can be tuned."""
    ends = model.deprecation if isinstance(model.deprecation, dict) else {}
    capabilities = model.capabilities if isinstance(model.capabilities, dict) else {}
    tunable = capabilities.get("fine_tune")
    return RemoteModel(
        id=model.id,
        tunable=tunable if isinstance(tunable, bool) else None,
        shutdown=date.fromisoformat(model.shutdown_date) if model.shutdown_date else _day(ends.get("inference")),
        training_ends=_day(ends.get("fine_tune")),
    )


def _day(seconds: float | None) -> date | None:
    return datetime.fromtimestamp(seconds, UTC).date() if seconds else None


def file_of(file: ShownFile | ListedFile) -> RemoteFile:
    """A file as the server shows it."""
    raw = file.status or ""
    return RemoteFile(
        id=file.id,
        status=FILE_STATUS.get(raw.lower(), FileStatus.UPLOADED),
        raw=raw,
        message=text_of(file.status_details),
        filename=text_of(file.filename),
        bytes=count_of(file.bytes),
    )


def job_of(job: ShownJob, dialect: Dialect, request_id: str | None = None) -> RemoteJob:
    """A job as the server shows it."""
    raw = job.status
    # A healthy job may carry an error object full of nulls: failure is the status, not the presence of an error.
    error = job.error if isinstance(job.error, dict) else {}
    return RemoteJob(
        id=job.id,
        status=JOB_STATUS.get(raw.lower(), JobStatus.UNKNOWN),
        raw=raw,
        training_file=job.training_file or "",
        base_model=job.model or "",
        fine_tuned_model=job.fine_tuned_model or None,
        servable=dialect.capabilities.servable,
        error_code=text_of(error.get("code")),
        error_message=text_of(error.get("message")),
        organization=text_of(job.organization_id),
        trained_tokens=count_of(job.trained_tokens),
        created_at=number_of(job.created_at),
        estimated_finish=number_of(job.estimated_finish),
        hyperparameters=hyperparameters_of(_method_hyperparameters(job.method) or job.hyperparameters),
        request_id=request_id,
    )


def _method_hyperparameters(method: object) -> object:
    kind = method.get("type") if isinstance(method, dict) else None
    options = method.get(kind) if isinstance(method, dict) and isinstance(kind, str) else None
    return options.get("hyperparameters") if isinstance(options, dict) else None


def carries(job: ShownJob, order: JobOrder) -> bool:
    """Whether the job's metadata holds the order's tag."""
    return isinstance(job.metadata, dict) and job.metadata.get(TAG_KEY) == order.tag


def metadata_of(job: ShownJob) -> str | None:
    """The tag in the job's metadata; None where the server does not show the metadata, "" where it holds no tag."""
    if job.metadata is msgspec.UNSET:
        return None
    return str((job.metadata or {}).get(TAG_KEY) or "")


def tag_of(job: ShownJob) -> str | None:
    """The tag in the job's metadata; None where it shows none, be it another's job or a server that keeps none."""
    return str(job.metadata.get(TAG_KEY) or "") or None if isinstance(job.metadata, dict) else None


def suffix_of(job: ShownJob) -> str | None:
    """The suffix the job was created with; None where the server does not show it. Servers call it differently."""
    return job.user_provided_suffix or job.suffix or None


def tagged_suffix_of(order: JobOrder) -> Callable[[ShownJob], str | None]:
    """The suffix of a job, as `suffix_of`; None also for one that only holds the operator's own part of it.

    Such a job was perhaps created for this order while the option `suffix_length` left no room for the tag.
    """

    def shown_by(job: ShownJob) -> str | None:
        suffix = suffix_of(job)
        return None if suffix and (order.spec.suffix or "").startswith(suffix) else suffix

    return shown_by


def event_of(event: ShownEvent) -> RemoteEvent:
    """A line of a job's history."""
    return RemoteEvent(at=number_of(event.created_at) or 0.0, message=text_of(event.message) or "")


def loss_of(event: ShownEvent) -> Loss | None:
    """The losses an event tells; None where it is about something else."""
    data = event.data if isinstance(event.data, dict) else {}
    training, validation = data.get("train_loss"), data.get("full_valid_loss", data.get("valid_loss"))
    return loss_at(data.get("step"), training, validation)


def verdict_of(result: ModerationResult) -> Verdict:
    """What the moderation says of one text."""
    categories = result.categories.model_dump(by_alias=True)
    return Verdict(
        flagged=result.flagged,
        categories=tuple(sorted(name for name, flagged in categories.items() if flagged)),
        scores=result.category_scores.model_dump(by_alias=True),
    )
