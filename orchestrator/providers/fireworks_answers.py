"""What Fireworks answers, as far as it is read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.answers import Id


class Status(msgspec.Struct):
    """What is wrong with a dataset or a job; the code is OK where nothing is."""

    code: str | int | None = None
    message: str | None = None


class FireworksDataset(msgspec.Struct):
    """A dataset, which is a file."""

    name: Id
    state: str = ""
    status: Status | None = None


class Training(msgspec.Struct, rename="camel"):
    """What a job trains; a DPO job has it in a part of its own."""

    base_model: str | None = None
    output_model: str | None = None
    epochs: Any = None
    batch_size_samples: Any = None
    learning_rate: Any = None
    lora_rank: Any = None
    max_context_length: Any = None


class FireworksJob(Training, rename="camel", kw_only=True):
    """A supervised or DPO job."""

    name: Id
    state: str = ""
    status: Status | None = None
    dataset: str | None = None
    training_config: Training | None = None
    create_time: Any = None
    job_progress: Any = None
    estimated_cost: Any = None


DATASET: Final = msgspec.json.Decoder(FireworksDataset, strict=False)
JOB: Final = msgspec.json.Decoder(FireworksJob, strict=False)
