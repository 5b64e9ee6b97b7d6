"""What Fireworks answers, as far as it is read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import RemoteId, RemoteIdOrEmpty, StatusWord


class FireworksStatus(msgspec.Struct):
    """What is wrong with a dataset or a job; the code is OK where nothing is."""

    code: StatusWord | int | None = None
    message: Any = None


class FireworksAccount(msgspec.Struct, rename="camel"):
    """Whose key it is."""

    name: RemoteId
    suspend_state: str | None = None


class FireworksDate(msgspec.Struct):
    """A day of the calendar."""

    year: int
    month: int
    day: int


class FireworksModel(msgspec.Struct, rename="camel"):
    """A base model, or one of the account's own."""

    name: RemoteId
    tunable: bool | None = None
    deprecation_date: FireworksDate | None = None


class FireworksDataset(msgspec.Struct):
    """A dataset, which is a file."""

    name: RemoteId
    state: StatusWord = ""
    status: FireworksStatus | None = None


class FireworksTraining(msgspec.Struct, rename="camel"):
    """What a job trains; a DPO job has it in a part of its own."""

    base_model: RemoteIdOrEmpty | None = None
    output_model: RemoteIdOrEmpty | None = None
    epochs: Any = None
    batch_size_samples: Any = None
    learning_rate: Any = None
    lora_rank: Any = None
    max_context_length: Any = None


class FireworksJob(FireworksTraining, rename="camel", kw_only=True):
    """A supervised or DPO job."""

    name: RemoteId
    state: StatusWord = ""
    status: FireworksStatus | None = None
    dataset: RemoteIdOrEmpty | None = None
    training_config: FireworksTraining | None = None
    create_time: Any = None
    job_progress: Any = None
    estimated_cost: Any = None


ACCOUNT_DECODER: Final = msgspec.json.Decoder(FireworksAccount, strict=False)
MODEL_DECODER: Final = msgspec.json.Decoder(FireworksModel, strict=False)
DATASET_DECODER: Final = msgspec.json.Decoder(FireworksDataset, strict=False)
JOB_DECODER: Final = msgspec.json.Decoder(FireworksJob, strict=False)
