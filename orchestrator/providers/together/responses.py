"""The fields of Together's responses that are used."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import ListPage, RemoteId, RemoteIdOrEmpty, StatusWord


class TogetherFile(msgspec.Struct):
    """A file. Older servers have no `processing_status`, only `Processed`."""

    id: RemoteId
    filename: str | None
    bytes: int | None = None
    processing_status: StatusWord | None = None
    processed: bool | None = msgspec.field(default=None, name="Processed")
    validation_report: Any = None


class TogetherJob(msgspec.Struct):
    """A fine-tune."""

    id: RemoteId
    status: StatusWord
    training_file: RemoteIdOrEmpty | None = None
    model: RemoteIdOrEmpty | None = None
    model_output_name: RemoteIdOrEmpty | None = None
    model_object_id: RemoteIdOrEmpty | None = None
    model_object_revision_id: RemoteIdOrEmpty | None = None
    adapter_object_id: RemoteIdOrEmpty | None = None
    adapter_object_revision_id: RemoteIdOrEmpty | None = None
    suffix: str | None = None
    events: Any = None
    token_count: Any = None
    created_at: Any = None
    n_epochs: Any = None
    batch_size: Any = None
    learning_rate: Any = None
    random_seed: Any = None
    training_type: Any = None
    max_seq_length: Any = None


class TogetherEvent(msgspec.Struct):
    """An event of a fine-tune."""

    created_at: Any = None
    message: Any = None


class TogetherCheckpoint(msgspec.Struct):
    """A checkpoint of a fine-tune: an object of the project, the whole model or its adapter."""

    step: int
    checkpoint: StatusWord | None = None
    object_id: RemoteIdOrEmpty | None = None
    object_revision_id: RemoteIdOrEmpty | None = None


class TogetherMetrics(msgspec.Struct):
    """The rows of a fine-tune's loss curve."""

    metrics: list[dict[str, Any]] | None = None


class TogetherEstimate(msgspec.Struct):
    """The estimated price of a fine-tune."""

    estimated_total_price: float | None = None
    allowed_to_proceed: bool | None = None
    user_limit: float | None = None


class TogetherLimits(msgspec.Struct):
    """The limits of a base model for tuning. A model that cannot be tuned has none."""

    model_name: RemoteId


class TogetherOwner(msgspec.Struct):
    """An organization or a project."""

    id: RemoteId


class TogetherIdentity(msgspec.Struct):
    """The owner of the key."""

    organization: TogetherOwner | None = None
    project: TogetherOwner | None = None

    def __post_init__(self) -> None:
        if self.organization is None and self.project is None:
            raise ValueError("it names neither an organization nor a project")


IDENTITY_DECODER: Final = msgspec.json.Decoder(TogetherIdentity, strict=False)
LIMITS_DECODER: Final = msgspec.json.Decoder(TogetherLimits, strict=False)
ESTIMATE_DECODER: Final = msgspec.json.Decoder(TogetherEstimate, strict=False)
METRICS_DECODER: Final = msgspec.json.Decoder(TogetherMetrics, strict=False)
FILE_DECODER: Final = msgspec.json.Decoder(TogetherFile, strict=False)
FILE_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[TogetherFile], strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(TogetherJob, strict=False)
JOB_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[TogetherJob], strict=False)
CHECKPOINT_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[TogetherCheckpoint])
EVENT_LIST_DECODER: Final = msgspec.json.Decoder(ListPage[TogetherEvent], strict=False)
