"""Converts orders to the bodies of Bedrock's requests, and its jobs to remote jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.account import Account
from orchestrator.core.dataset import short_tag
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.providers.base import JobOrder
from orchestrator.providers.bedrock.responses import BedrockJob
from orchestrator.providers.http.response_decoder import number_or_none, text_or_none
from orchestrator.providers.http.rest_client import epoch_from_iso
from orchestrator.providers.tagging import tagged_suffix

MAX_NAME_LENGTH: Final = 63
TAG_KEY: Final = "orchestrator"
OUTPUT_FOLDER: Final = "orchestrator-output"
NOT_STARTED: Final = "NotStarted"
JOB_STATUS: Final[Mapping[str, RemoteJobStatus]] = {
    "InProgress": RemoteJobStatus.RUNNING,
    "Completed": RemoteJobStatus.SUCCEEDED,
    "Failed": RemoteJobStatus.FAILED,
    "Stopping": RemoteJobStatus.CANCELLING,
    "Stopped": RemoteJobStatus.CANCELLED,
}


def build_job_name(order: JobOrder) -> str:
    """Build the name of the order's job. A name is used up for ever, so it contains the attempt."""
    return f"orchestrator-{short_tag(order.tag)}"


def build_job_body(order: JobOrder, account: Account) -> dict[str, Any]:
    """Build the body that creates a job. Hyperparameters are texts; one that is left open is left out."""
    spec, name = order.spec, build_job_name(order)
    parameters = {
        "epochCount": None if spec.n_epochs == "auto" else str(spec.n_epochs),
        "learningRate": None if spec.learning_rate is None else repr(spec.learning_rate),
    }
    body: dict[str, Any] = {
        "jobName": name,
        "customModelName": _build_model_name(order),
        "clientRequestToken": name,  # the same create again is ignored
        "roleArn": account.role_arn,
        "baseModelIdentifier": spec.base_model,
        "customizationType": "FINE_TUNING",
        "jobTags": [{"key": TAG_KEY, "value": order.tag}],
        "trainingDataConfig": {"s3Uri": order.training_file},
        "outputDataConfig": {"s3Uri": f"s3://{account.bucket}/{OUTPUT_FOLDER}/{short_tag(order.tag)}/"},
    }
    if chosen := {key: value for key, value in parameters.items() if value is not None}:
        body["hyperParameters"] = chosen
    if order.validation_file:
        body["validationDataConfig"] = {"validators": [{"s3Uri": order.validation_file}]}
    return body


def _build_model_name(order: JobOrder) -> str:
    """Build the name of the model: letters and digits, with single hyphens or underscores between them."""
    return re.sub(r"[-_]{2,}", "-", tagged_suffix(order, MAX_NAME_LENGTH)).strip("-_")


def to_remote_job(job: BedrockJob, *, servable: bool) -> RemoteJob:
    """Convert a job."""
    status = JOB_STATUS.get(job.status, RemoteJobStatus.UNKNOWN)
    if status is RemoteJobStatus.RUNNING and not _has_started(job.status_details):
        status = RemoteJobStatus.PENDING
    done = status is RemoteJobStatus.SUCCEEDED
    loss = (
        number_or_none(job.training_metrics.get("trainingLoss")) if isinstance(job.training_metrics, dict) else None
    )
    return RemoteJob(
        id=job.job_arn,
        status=status,
        raw_status=job.status,
        training_file=job.training_data_config.uri if job.training_data_config else "",
        base_model=get_model_name(job.base_model_arn or ""),
        fine_tuned_model=(job.output_model_arn or None) if done else None,
        servable=servable,
        error_message=text_or_none(job.failure_message) if status is RemoteJobStatus.FAILED else None,
        created_at=epoch_from_iso(job.creation_time),
        hyperparameters=read_hyperparameters(job.hyper_parameters),
        notes=(f"the final training loss is {loss:g}",) if done and loss is not None else (),
    )


def get_model_name(arn: str) -> str:
    """Return the name of a base model from its ARN, or the name itself."""
    return arn.rpartition("foundation-model/")[2]


def read_hyperparameters(raw: object) -> dict[str, Any]:
    """Return the hyperparameters as numbers under the program's names."""
    texts = raw if isinstance(raw, dict) else {}
    values: dict[str, Any] = {}
    if isinstance(epochs := texts.get("epochCount"), str) and epochs.isdecimal() and len(epochs) < 10:
        values["n_epochs"] = int(epochs)
    if isinstance(rate := texts.get("learningRate"), str) and re.fullmatch(r"[0-9.eE+-]{1,20}", rate):
        values["learning_rate"] = rate
    return values


def _has_started(details: object) -> bool:
    """Whether the training has begun, as far as the job shows it."""
    training = details.get("trainingDetails") if isinstance(details, dict) else None
    return not (isinstance(training, dict) and training.get("status") == NOT_STARTED)
