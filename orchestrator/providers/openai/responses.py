"""What a server that speaks OpenAI's API answers, as far as it is read.

Decoded straight from the bytes: the SDK's own models take a fifth of a call's CPU. What decides whether something is
ours, and how far it is, must be there; what servers differ in is taken as it comes.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from orchestrator.providers.http.response_decoder import ListPage, RemoteId, RemoteIdOrEmpty, StatusWord

OpenAIObject = TypeVar("OpenAIObject", bound="_OpenAIObject")


class _OpenAIObject(msgspec.Struct):
    id: RemoteId


class OpenAIFile(_OpenAIObject):
    """A file."""

    status: StatusWord | None = None
    status_details: Any = None
    filename: str | None = None
    bytes: Any = None


class OpenAIListedFile(_OpenAIObject):
    """A file in a list. One that does not show what it is called may be ours, and must not be passed over."""

    filename: str | None
    bytes: int | None = None
    status: StatusWord | None = None
    status_details: Any = None


class OpenAIListedModel(_OpenAIObject):
    """A model in a list."""


class OpenAIModel(_OpenAIObject):
    """A model. Servers say differently when it ends, and use the same names for other things."""

    shutdown_date: str | None = None
    deprecation: Any = None
    capabilities: Any = None


class OpenAIJob(_OpenAIObject):
    """A fine-tuning job. Its suffix has two names.

    Status, training file and model have no default: a job that does not show them may be ours, and must not be passed
    over. The same is true of metadata that is not there, which is not the same as none. What only informs is of any
    type here, so that a finished model is not missed for a strange number beside it.
    """

    status: StatusWord
    training_file: RemoteIdOrEmpty | None
    model: RemoteIdOrEmpty | None
    fine_tuned_model: RemoteIdOrEmpty | None = None
    error: Any = None
    organization_id: Any = None
    trained_tokens: Any = None
    created_at: Any = None
    estimated_finish: Any = None
    hyperparameters: Any = None
    method: Any = None
    metadata: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    user_provided_suffix: str | None = None
    suffix: str | None = None


class OpenAIEvent(_OpenAIObject):
    """A line of a job's history."""

    created_at: Any = None
    message: Any = None
    data: Any = None


class OpenAICheckpoint(_OpenAIObject):
    """A model saved on the way."""

    step_number: int | None = None


FILE_DECODER: Final = msgspec.json.Decoder(OpenAIFile, strict=False)
FILE_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIListedFile], strict=False)
MODEL_DECODER: Final = msgspec.json.Decoder(OpenAIModel, strict=False)
MODEL_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIListedModel], strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(OpenAIJob, strict=False)
JOB_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIJob], strict=False)
EVENT_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIEvent], strict=False)
CHECKPOINT_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAICheckpoint], strict=False)
