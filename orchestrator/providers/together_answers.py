"""What Together answers, as far as it is read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.answers import Id, Name, Page, Word


class TogetherFile(msgspec.Struct):
    """A file. Servers older than `processing_status` only say whether it is processed."""

    id: Id
    filename: str | None
    bytes: int | None = None
    processing_status: Word | None = None
    processed: bool | None = msgspec.field(default=None, name="Processed")
    validation_report: Any = None


class TogetherJob(msgspec.Struct):
    """A fine-tune."""

    id: Id
    status: Word
    training_file: Name | None = None
    model: Name | None = None
    model_output_name: Name | None = None
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
    """A line of a fine-tune's history."""

    created_at: Any = None
    message: Any = None


class Metrics(msgspec.Struct):
    """The rows of a fine-tune's curve."""

    metrics: list[dict[str, Any]] | None = None


class Estimate(msgspec.Struct):
    """What a fine-tune would cost, where there is an estimate."""

    estimated_total_price: float | None = None
    allowed_to_proceed: bool | None = None
    user_limit: float | None = None


class Limits(msgspec.Struct):
    """How a base model can be tuned. That there are limits says that it can be."""

    model_name: Id


class Owner(msgspec.Struct):
    """An organization or a project."""

    id: Id


class WhoAmI(msgspec.Struct):
    """Whose key it is."""

    organization: Owner | None = None
    project: Owner | None = None

    def __post_init__(self) -> None:
        if self.organization is None and self.project is None:
            raise ValueError("it names neither an organization nor a project")


WHO_AM_I: Final = msgspec.json.Decoder(WhoAmI, strict=False)
LIMITS: Final = msgspec.json.Decoder(Limits, strict=False)
ESTIMATE: Final = msgspec.json.Decoder(Estimate, strict=False)
METRICS: Final = msgspec.json.Decoder(Metrics, strict=False)
FILE: Final = msgspec.json.Decoder(TogetherFile, strict=False)
FILES: Final = msgspec.json.Decoder(Page[TogetherFile], strict=False)
JOB: Final = msgspec.json.Decoder(TogetherJob, strict=False)
JOBS: Final = msgspec.json.Decoder(Page[TogetherJob], strict=False)
EVENTS: Final = msgspec.json.Decoder(Page[TogetherEvent], strict=False)
