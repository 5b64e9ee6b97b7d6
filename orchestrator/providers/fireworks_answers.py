"""What Fireworks answers, as far as it is read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.answers import Id, Name, Word


class Status(msgspec.Struct):
    """What is wrong with a dataset or a job; the code is OK where nothing is."""

    code: Word | int | None = None
    message: Any = None


class FireworksAccount(msgspec.Struct, rename="camel"):
    """Whose key it is."""

    name: Id
    suspend_state: str | None = None


class Day(msgspec.Struct):
    """A day of the calendar."""

    year: int
    month: int
    day: int


class FireworksModel(msgspec.Struct, rename="camel"):
    """A base model, or one of the account's own."""

    name: Id
    tunable: bool | None = None
    deprecation_date: Day | None = None


class FireworksDataset(msgspec.Struct):
    """A dataset, which is a file."""

    name: Id
    state: Word = ""
    status: Status | None = None


class Training(msgspec.Struct, rename="camel"):
    """What a job trains; a DPO job has it in a part of its own."""

    base_model: Name | None = None
    output_model: Name | None = None
    epochs: Any = None
    batch_size_samples: Any = None
    learning_rate: Any = None
    lora_rank: Any = None
    max_context_length: Any = None


class FireworksJob(Training, rename="camel", kw_only=True):
    """A supervised or DPO job."""

    name: Id
    state: Word = ""
    status: Status | None = None
    dataset: Name | None = None
    training_config: Training | None = None
    create_time: Any = None
    job_progress: Any = None
    estimated_cost: Any = None


ACCOUNT: Final = msgspec.json.Decoder(FireworksAccount, strict=False)
MODEL: Final = msgspec.json.Decoder(FireworksModel, strict=False)
DATASET: Final = msgspec.json.Decoder(FireworksDataset, strict=False)
JOB: Final = msgspec.json.Decoder(FireworksJob, strict=False)
