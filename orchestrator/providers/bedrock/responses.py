"""The fields of Bedrock's responses that are used."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import RemoteId, RemoteIdOrEmpty, StatusWord


class BedrockCreated(msgspec.Struct, rename="camel"):
    """The response to a create."""

    job_arn: RemoteId


class BedrockDataConfig(msgspec.Struct):
    """The place of a training file."""

    uri: RemoteIdOrEmpty = msgspec.field(default="", name="s3Uri")


class BedrockJob(msgspec.Struct, rename="camel"):
    """A customization job. `output_model_arn` is shown when it is complete, `failure_message` when it has failed."""

    job_arn: RemoteId
    job_name: RemoteId
    status: StatusWord
    client_request_token: str | None = None
    output_model_arn: RemoteIdOrEmpty | None = None
    base_model_arn: RemoteIdOrEmpty | None = None
    training_data_config: BedrockDataConfig | None = None
    hyper_parameters: Any = None
    status_details: Any = None
    failure_message: Any = None
    creation_time: Any = None
    training_metrics: Any = None


class BedrockJobPage(msgspec.Struct, rename="camel"):
    """One page of jobs. An empty list has its key."""

    model_customization_job_summaries: list[Any]


class BedrockModelDetails(msgspec.Struct, rename="camel"):
    """A base model."""

    model_id: RemoteId
    customizations_supported: list[str] | None = None


class BedrockModel(msgspec.Struct, rename="camel"):
    """The answer about a base model."""

    model_details: BedrockModelDetails


class BedrockModelPage(msgspec.Struct, rename="camel"):
    """The base models of a region."""

    model_summaries: list[BedrockModelDetails]


class BedrockCustomModel(msgspec.Struct, rename="camel"):
    """A finished model."""

    model_arn: RemoteId


CREATED_DECODER: Final = msgspec.json.Decoder(BedrockCreated, strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(BedrockJob, strict=False)
JOB_PAGE_DECODER: Final = msgspec.json.Decoder(BedrockJobPage, strict=False)
MODEL_DECODER: Final = msgspec.json.Decoder(BedrockModel, strict=False)
MODEL_PAGE_DECODER: Final = msgspec.json.Decoder(BedrockModelPage, strict=False)
CUSTOM_MODEL_DECODER: Final = msgspec.json.Decoder(BedrockCustomModel, strict=False)
