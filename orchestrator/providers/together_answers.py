"""What Together answers, as far as it is read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.answers import Id, Page


class TogetherFile(msgspec.Struct):
    """A file. Servers older than `processing_status` only say whether it is processed."""

    id: Id
    filename: str | None = None
    bytes: int | None = None
    processing_status: str | None = None
    processed: bool | None = msgspec.field(default=None, name="Processed")
    validation_report: Any = None


class TogetherJob(msgspec.Struct):
    """A fine-tune."""

    id: Id
    status: str
    training_file: str | None = None
    model: str | None = None
    model_output_name: str | None = None
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

    created_at: str
    message: str


FILE: Final = msgspec.json.Decoder(TogetherFile, strict=False)
FILES: Final = msgspec.json.Decoder(Page[TogetherFile], strict=False)
JOB: Final = msgspec.json.Decoder(TogetherJob, strict=False)
JOBS: Final = msgspec.json.Decoder(Page[TogetherJob], strict=False)
EVENTS: Final = msgspec.json.Decoder(Page[TogetherEvent], strict=False)
