"""What a server that speaks OpenAI's API answers, as far as it is read.

Decoded straight from the bytes: the SDK's own models take a fifth of a call's CPU. What decides whether something is
ours, and how far it is, must be there; what servers differ in is taken as it comes.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from orchestrator.providers.answers import Id, Name, Page, Word

Shown = TypeVar("Shown", bound="_Shown")


class _Shown(msgspec.Struct):
    id: Id


class ShownFile(_Shown):
    """A file."""

    status: Word | None = None
    status_details: Any = None
    filename: str | None = None
    bytes: Any = None


class ListedFile(_Shown):
    """A file in a list. One that does not show what it is called may be ours, and must not be passed over."""

    filename: str | None
    bytes: int | None = None
    status: Word | None = None
    status_details: Any = None


class ListedModel(_Shown):
    """A model in a list."""


class ShownModel(_Shown):
    """A model. Servers say differently when it ends, and use the same names for other things."""

    shutdown_date: str | None = None
    deprecation: Any = None
    capabilities: Any = None


class ShownJob(_Shown):
    """A fine-tuning job. Its suffix has two names.

    Status, training file and model have no default: a job that does not show them may be ours, and must not be passed
    over. The same is true of metadata that is not there, which is not the same as none. What only informs is of any
    type here, so that a finished model is not missed for a strange number beside it.
    """

    status: Word
    training_file: Name | None
    model: Name | None
    fine_tuned_model: Name | None = None
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


class ShownEvent(_Shown):
    """A line of a job's history."""

    created_at: Any = None
    message: Any = None
    data: Any = None


class ShownCheckpoint(_Shown):
    """A model saved on the way."""

    step_number: int | None = None


FILE: Final = msgspec.json.Decoder(ShownFile, strict=False)
FILES: Final = msgspec.json.Decoder(Page[ListedFile], strict=False)
MODEL: Final = msgspec.json.Decoder(ShownModel, strict=False)
MODELS: Final = msgspec.json.Decoder(Page[ListedModel], strict=False)
JOB: Final = msgspec.json.Decoder(ShownJob, strict=False)
JOBS: Final = msgspec.json.Decoder(Page[ShownJob], strict=False)
EVENTS: Final = msgspec.json.Decoder(Page[ShownEvent], strict=False)
CHECKPOINTS: Final = msgspec.json.Decoder(Page[ShownCheckpoint], strict=False)
