"""The fields of Fireworks' responses that are used."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import RemoteId, RemoteIdOrEmpty, StatusWord


class FireworksStatus(msgspec.Struct):
    """The error of a dataset or a job; the code is OK if there is none."""

    code: StatusWord | int | None = None
    message: Any = None


class FireworksAccount(msgspec.Struct, rename="camel"):
    """The account of the key."""

    name: RemoteId
    suspend_state: str | None = None


class FireworksDate(msgspec.Struct):
    """A calendar date."""

    year: int
    month: int
    day: int


class FireworksModel(msgspec.Struct, rename="camel"):
    """A base model, or one of the account's own."""

    name: RemoteId
    tunable: bool | None = None
    deprecation_date: FireworksDate | None = None


class FireworksDataset(msgspec.Struct):
    """A dataset: what other providers call a file."""

    name: RemoteId
    state: StatusWord = ""
    status: FireworksStatus | None = None


class FireworksTraining(msgspec.Struct, rename="camel"):
    """The training options of a job; a DPO job has them in `training_config`."""

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
