"""The fields of OpenAI's responses that are used.

They are decoded directly from the bytes: the SDK's own models take a fifth of a call's CPU. Fields that decide
whether an object is ours, and its state, are required; the informative ones, in which servers differ, have any type.
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
    """A file in a list. The name is required: a file without one may be ours and must not be skipped."""

    filename: str | None
    bytes: int | None = None
    status: StatusWord | None = None
    status_details: Any = None


class OpenAIListedModel(_OpenAIObject):
    """A model in a list."""


class OpenAIModel(_OpenAIObject):
    """A model. Servers report its retirement differently, and use the same names for other values."""

    shutdown_date: str | None = None
    deprecation: Any = None
    capabilities: Any = None


class OpenAIJob(_OpenAIObject):
    """A fine-tuning job. Servers use two names for its suffix.

    Status, training file and model have no default: a job that does not show them may be ours and must not be
    skipped. Missing metadata (UNSET) differs from empty metadata for the same reason. Informative fields have any
    type, so that an odd number does not hide a finished model.
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
    """An event of a job."""

    created_at: Any = None
    message: Any = None
    data: Any = None


class OpenAICheckpoint(_OpenAIObject):
    """A model that was saved during training."""

    step_number: int | None = None
    fine_tuned_model_checkpoint: RemoteIdOrEmpty | None = None
    metrics: Any = None


class OpenAIModeration(msgspec.Struct):
    """The verdict on one text. Nothing is guessed: "false" as a text, or no verdict, must not pass a text."""

    flagged: bool
    categories: dict[RemoteId, bool | None]
    category_scores: dict[RemoteId, float | None]


class OpenAIModerationList(msgspec.Struct):
    """The verdicts on the texts of a request, in their order."""

    results: list[OpenAIModeration]


FILE_DECODER: Final = msgspec.json.Decoder(OpenAIFile, strict=False)
FILE_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIListedFile], strict=False)
MODEL_DECODER: Final = msgspec.json.Decoder(OpenAIModel, strict=False)
MODEL_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIListedModel], strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(OpenAIJob, strict=False)
JOB_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIJob], strict=False)
EVENT_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAIEvent], strict=False)
CHECKPOINT_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[OpenAICheckpoint], strict=False)
MODERATION_DECODER: Final = msgspec.json.Decoder(OpenAIModerationList)
