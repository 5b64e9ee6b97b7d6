"""What a server that speaks OpenAI's API answers, as far as it is read.

Decoded straight from the bytes: the SDK's own models take a fifth of a call's CPU. What decides whether something is
ours, and how far it is, must be there; what servers differ in is taken as it comes.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from orchestrator.providers.answers import Id, Page

Shown = TypeVar("Shown", bound="_Shown")


class _Shown(msgspec.Struct):
    id: Id


class ShownFile(_Shown):
    """A file."""

    status: str | None = None
    status_details: str | None = None
    filename: str | None = None
    bytes: int | None = None


class ShownModel(msgspec.Struct):
    """A model. Servers say differently when it ends."""

    id: str = ""
    shutdown_date: str | None = None
    deprecation: Any = None
    capabilities: Any = None


class ShownJob(_Shown):
    """A fine-tuning job. Its suffix has two names.

    Status, training file and model have no default: a job that does not show them may be ours, and must not be passed
    over. The same is true of metadata that is not there, which is not the same as none.
    """

    status: str
    training_file: str | None
    model: str | None
    fine_tuned_model: str | None = None
    error: Any = None
    organization_id: str | None = None
    trained_tokens: int | None = None
    created_at: float | None = None
    estimated_finish: float | None = None
    hyperparameters: Any = None
    method: Any = None
    metadata: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    user_provided_suffix: str | None = None
    suffix: str | None = None


class ShownEvent(_Shown):
    """A line of a job's history."""

    created_at: float = 0.0
    message: str = ""
    data: Any = None


class ShownCheckpoint(_Shown):
    """A model saved on the way."""

    step_number: int | None = None


FILE: Final = msgspec.json.Decoder(ShownFile, strict=False)
FILES: Final = msgspec.json.Decoder(Page[ShownFile], strict=False)
MODEL: Final = msgspec.json.Decoder(ShownModel, strict=False)
MODELS: Final = msgspec.json.Decoder(Page[ShownModel], strict=False)
JOB: Final = msgspec.json.Decoder(ShownJob, strict=False)
JOBS: Final = msgspec.json.Decoder(Page[ShownJob], strict=False)
EVENTS: Final = msgspec.json.Decoder(Page[ShownEvent], strict=False)
CHECKPOINTS: Final = msgspec.json.Decoder(Page[ShownCheckpoint], strict=False)
