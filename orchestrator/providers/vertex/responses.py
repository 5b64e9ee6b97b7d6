"""The fields of Vertex AI's responses that are used. A field that has its default value is missing in a response."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import RemoteId, RemoteIdOrEmpty, StatusWord


class VertexPlace(msgspec.Struct):
    """The region of a project."""

    name: RemoteId


class VertexModel(msgspec.Struct):
    """A base model, or the endpoint of a tuned one."""

    name: RemoteId


class VertexSpec(msgspec.Struct, rename="camel"):
    """The order of a supervised tuning."""

    training_dataset_uri: RemoteIdOrEmpty = ""
    hyper_parameters: Any = None


class VertexTunedModel(msgspec.Struct):
    """The result: the endpoint is called, the model is kept, exported or tuned further."""

    model: RemoteIdOrEmpty = ""
    endpoint: RemoteIdOrEmpty = ""
    checkpoints: Any = None


class VertexError(msgspec.Struct):
    """Why a job failed."""

    code: Any = None
    message: Any = None


class VertexJob(msgspec.Struct, rename="camel"):
    """A tuning job. Its name has the number of the project, where a request has its id."""

    name: RemoteId
    state: StatusWord = "JOB_STATE_UNSPECIFIED"
    tuning_job_state: StatusWord | None = None
    base_model: RemoteIdOrEmpty = ""
    labels: dict[str, str] = {}  # msgspec copies it
    tuned_model_display_name: str | None = None
    supervised_tuning_spec: VertexSpec | None = None
    tuned_model: VertexTunedModel | None = None
    error: VertexError | None = None
    create_time: Any = None
    start_time: Any = None
    end_time: Any = None
    tuning_job_metadata: Any = None
    tuning_data_stats: Any = None


class VertexJobPage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One page of jobs. An empty list has no key at all, so any other key means that this is no list."""

    tuning_jobs: list[VertexJob] = []
    next_page_token: str | None = None


PLACE_DECODER: Final = msgspec.json.Decoder(VertexPlace, strict=False)
MODEL_DECODER: Final = msgspec.json.Decoder(VertexModel, strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(VertexJob, strict=False)
JOB_PAGE_DECODER: Final = msgspec.json.Decoder(VertexJobPage, strict=False)
