"""What each provider offers, as data. docs/providers.md is generated from it.

Properties that could not be confirmed are listed as such: the program works with either answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.spec import Method
from orchestrator.core.structs import Struct

MB: Final = 1_000_000
GB: Final = 1_000 * MB
OBJECT_PART_BYTES: Final = 16 * 1024 * 1024  # of a file in a bucket: S3 requires 5 MiB, Google multiples of 256 KiB


class JobLookup(StrEnum):
    """How a remote job is found again after the reply to its create was lost. The values are texts for the docs."""

    METADATA = "metadata"
    CLIENT_ID = "its id, which the service chooses"
    SUFFIX = "suffix, training file and base model"
    METADATA_OR_SUFFIX = "metadata; else suffix, training file and base model"
    TRAINING_FILE = "its training file, which is uploaded for this job alone"
    LABEL_OR_FILE = "a label; else its training file, which is uploaded for this job alone"


class WireFormat(StrEnum):
    """The format of the training file that a provider reads. The values are part of the names of converted files."""

    CHAT_LINES = "chat-lines"  # the canonical JSONL, sent as it is
    GEMINI = "gemini"  # contents with parts, for Gemini on Vertex AI
    BEDROCK_CONVERSATION = "bedrock-conversation"  # messages with content blocks, for Amazon Nova


class PriceSource(StrEnum):
    """Where the price of a training comes from. The values are texts of docs/providers.md."""

    PRICE_FILE = "the price file"
    PROVIDER_ESTIMATE = "the price file; after the upload, the provider's estimate"
    PROVIDER_AFTER_CREATE = "the price file; the provider reports a job's price after it is created"


class ValidationLimit(Struct, frozen=True, kw_only=True):
    """The number of validation examples that a provider accepts, which depends on the training examples."""

    maximum: int  # at any number of training examples
    unconditional: int  # accepted at any number of training examples
    fraction: float  # of the training examples: the limit between the two

    def get_maximum(self, training_examples: int) -> int:
        """Return the limit beside so many training examples."""
        return min(self.maximum, max(self.unconditional, int(training_examples * self.fraction)))


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a provider offers."""

    job_lookup: JobLookup  # how a remote job is found again after the reply to its create was lost
    methods: tuple[Method, ...] = ("supervised",)  # training methods
    options: tuple[str, ...] = ("method", "n_epochs", "batch_size")  # of [run.PROVIDER], besides `base_model`
    seed: bool  # whether a job can be given a random seed
    suffix_length: int  # maximum length of a model's suffix in characters; 0: no suffix
    events: bool  # whether the remote job has a history that can be read
    cancel: bool = True  # whether a remote job can be cancelled
    losses: bool = False  # whether training losses can be read while the job trains
    checkpoints: bool = False  # whether models of earlier epochs are kept and can be listed
    has_model_lookup: bool = False  # whether the provider reports if a finished model still exists
    price_source: PriceSource
    servable: bool  # whether a finished model can be called without a deployment
    serving: str  # what a finished model needs before it can be called, as text
    minimum_examples: int  # of the training file
    maximum_bytes: int  # of one file
    maximum_examples: int | None = None  # of the training file; None: no documented limit
    validation_limit: ValidationLimit | None = None  # None: no documented limit
    moderation: bool = False  # whether it has a moderation API
    may_have_moderation: bool = False  # whether its server may have that endpoint: an account named for it is tried
    wire_format: WireFormat = WireFormat.CHAT_LINES  # another one: the dataset is converted before an upload
    multipart_threshold_bytes: int | None = None  # a larger file is sent in parts, and resumed after a restart
    unconfirmed: tuple[str, ...] = ()  # properties that could not be confirmed, as text; either answer works

    @property
    def has_file_per_job(self) -> bool:
        """Whether each job has an uploaded file of its own, because the job is found again by that file."""
        return self.job_lookup in {JobLookup.TRAINING_FILE, JobLookup.LABEL_OR_FILE}

    @property
    def has_quotes(self) -> bool:
        """Whether the provider estimates the price of a job before it is created."""
        return self.price_source is PriceSource.PROVIDER_ESTIMATE


_ALL_METHODS: Final[tuple[Method, ...]] = ("supervised", "dpo")
_MULTIPLIER_OPTIONS: Final = ("method", "n_epochs", "batch_size", "learning_rate_multiplier")
_LEARNING_RATE_OPTIONS: Final = ("method", "n_epochs", "batch_size", "learning_rate", "context_length")

CAPABILITIES: Final[Mapping[ProviderName, Capabilities]] = {
    ProviderName.OPENAI: Capabilities(
        job_lookup=JobLookup.METADATA,
        methods=_ALL_METHODS,
        options=_MULTIPLIER_OPTIONS,
        seed=True,
        suffix_length=64,
        events=True,
        losses=True,
        has_model_lookup=True,
        checkpoints=True,
        price_source=PriceSource.PRICE_FILE,
        servable=True,
        serving="at once, by its model id",
        minimum_examples=10,
        maximum_bytes=8 * GB,
        multipart_threshold_bytes=512 * MB,
        moderation=True,
        may_have_moderation=True,
        unconfirmed=("the error code of a refused create", "the training prices"),
    ),
    ProviderName.AZURE: Capabilities(
        job_lookup=JobLookup.SUFFIX,
        methods=_ALL_METHODS,
        options=(*_MULTIPLIER_OPTIONS, "training_type", "byte_order_mark"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        checkpoints=True,
        price_source=PriceSource.PRICE_FILE,
        servable=False,
        serving="needs a deployment, which the resource manager creates (`management_key`)",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_have_moderation=True,
        unconfirmed=(
            "whether jobs have metadata and lists can be filtered by it (not used)",
            "whether files need a byte order mark",
            "whether a finished model can be looked up by its id (not used)",
        ),
    ),
    ProviderName.NEBIUS: Capabilities(
        job_lookup=JobLookup.SUFFIX,
        options=(*_LEARNING_RATE_OPTIONS, "lora", "lora_rank", "lora_alpha"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        checkpoints=True,
        price_source=PriceSource.PRICE_FILE,
        servable=False,
        serving="needs a deployment, which makes its checkpoint a custom model, where Nebius still offers that",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_have_moderation=True,
        unconfirmed=(
            "the maximum suffix length",
            "the minimum number of examples (the check requires 10)",
            "the maximum file size (Nebius documents 5 GB, the program allows 512 MB)",
        ),
    ),
    ProviderName.OPENAI_COMPATIBLE: Capabilities(
        job_lookup=JobLookup.METADATA_OR_SUFFIX,
        methods=_ALL_METHODS,
        options=_MULTIPLIER_OPTIONS,
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        checkpoints=True,
        price_source=PriceSource.PRICE_FILE,
        servable=True,
        serving="depends on the server; assumed to be callable immediately",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_have_moderation=True,
        unconfirmed=("everything in this table, because it depends on the server",),
    ),
    ProviderName.TOGETHER: Capabilities(
        job_lookup=JobLookup.SUFFIX,
        methods=_ALL_METHODS,
        options=(*_LEARNING_RATE_OPTIONS, "lora", "lora_rank", "lora_alpha"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        checkpoints=True,
        price_source=PriceSource.PROVIDER_ESTIMATE,
        servable=False,
        serving="needs a dedicated endpoint",
        minimum_examples=1,
        maximum_bytes=5 * GB,
        unconfirmed=("whether lists always show the suffix",),
    ),
    ProviderName.FIREWORKS: Capabilities(
        job_lookup=JobLookup.CLIENT_ID,
        methods=_ALL_METHODS,
        options=(*_LEARNING_RATE_OPTIONS, "lora_rank"),
        seed=False,
        suffix_length=64,
        events=False,
        has_model_lookup=True,
        price_source=PriceSource.PROVIDER_AFTER_CREATE,
        servable=False,
        serving="needs a deployment",
        minimum_examples=3,
        maximum_bytes=5 * GB,
        unconfirmed=(
            "the maximum file size for a signed upload address",
            "the unit of batch_size (sent as a number of samples)",
            "the format of its metrics file (not read)",
        ),
    ),
    ProviderName.DASHSCOPE: Capabilities(
        job_lookup=JobLookup.TRAINING_FILE,
        options=(*_LEARNING_RATE_OPTIONS, "lora", "lora_rank", "lora_alpha"),
        seed=False,
        suffix_length=8,
        events=False,
        losses=True,
        price_source=PriceSource.PRICE_FILE,
        servable=False,
        serving="needs a deployment",
        minimum_examples=1,
        maximum_bytes=300 * MB,
        unconfirmed=(
            "the maximum suffix length (a refused suffix is omitted)",
            "whether the name of a job is stored (a second sign of a job, if it is)",
            "the minimum number of examples",
            "the time zone of its times (not read)",
            "whether tool calls are accepted for every model",
            "the lines of a log that contain losses (one without a step is numbered)",
        ),
    ),
    ProviderName.BEDROCK_MANTLE: Capabilities(
        job_lookup=JobLookup.TRAINING_FILE,
        options=_MULTIPLIER_OPTIONS,
        seed=False,
        suffix_length=0,
        events=True,
        losses=True,
        price_source=PriceSource.PRICE_FILE,
        servable=True,
        serving="at once, by its model id, on demand",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        unconfirmed=(
            "supervised fine-tuning (AWS documents reinforcement fine-tuning, and mentions the other in an example)",
            "the minimum number of examples (documented is 100, for reinforcement; the check requires 10)",
            "the maximum file size",
            "whether metadata is stored (a second sign of a job, if it is)",
        ),
    ),
    ProviderName.VERTEX: Capabilities(
        job_lookup=JobLookup.LABEL_OR_FILE,
        options=("method", "n_epochs", "learning_rate_multiplier", "lora_rank"),
        seed=False,
        suffix_length=128,
        events=True,
        has_model_lookup=True,
        checkpoints=True,
        price_source=PriceSource.PRICE_FILE,
        servable=True,
        serving="at once, by its endpoint, which the training creates",
        minimum_examples=1,
        maximum_bytes=1 * GB,
        maximum_examples=1_000_000,
        validation_limit=ValidationLimit(maximum=5000, unconditional=1000, fraction=0.3),
        wire_format=WireFormat.GEMINI,
        multipart_threshold_bytes=OBJECT_PART_BYTES,
        unconfirmed=(
            "whether lists can be filtered by label (they are filtered here, too)",
            "whether the billable tokens count every epoch",
            "the minimum number of examples",
            "the number of jobs that may run at once (a refused job waits for a slot)",
            "whether a chat may begin with the model's turn (such chats are refused)",
        ),
    ),
    ProviderName.BEDROCK: Capabilities(
        job_lookup=JobLookup.CLIENT_ID,
        options=("method", "n_epochs", "learning_rate"),
        seed=False,
        suffix_length=63,
        events=False,
        has_model_lookup=True,
        price_source=PriceSource.PRICE_FILE,
        servable=False,
        serving="needs a custom model deployment, which is charged by token",
        minimum_examples=1,
        maximum_bytes=1 * GB,
        wire_format=WireFormat.BEDROCK_CONVERSATION,
        multipart_threshold_bytes=OBJECT_PART_BYTES,
        unconfirmed=(
            "the minimum and the maximum number of examples",
            "the maximum file size",
            "the regions in which a model can be deployed on demand",
            "whether tools or images are accepted (such chats are refused)",
        ),
    ),
}

LOCAL_OPTIONS: Final = frozenset({"base_model", "pin_auto", "tokenizer"})  # options that are never sent to a provider

EQUIVALENT_OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "learning_rate_multiplier": ("learning_rate", "the rate itself, for example 1e-5"),
    "learning_rate": ("learning_rate_multiplier", "a factor on a rate of the provider's choice, for example 2"),
    "lora_alpha": ("lora_rank", "the size of the adapter"),
}


def needs_multipart(size: int, capabilities: Capabilities) -> bool:
    """Return whether a file of `size` bytes is sent in parts."""
    return capabilities.multipart_threshold_bytes is not None and size > capabilities.multipart_threshold_bytes


def unsupported_reason(provider: ProviderName, option: str) -> str | None:
    """Explain why the provider does not support the option, with its equivalent; None if it does."""
    offers = CAPABILITIES[provider]
    if option in LOCAL_OPTIONS or option in offers.options:
        return None
    other, meaning = EQUIVALENT_OPTIONS.get(option, ("", ""))
    if other in offers.options:
        return f"is not an option of {provider}; its equivalent is {other}, {meaning}"
    supporting = [name for name, other_offers in CAPABILITIES.items() if option in other_offers.options]
    return f"is not an option of {provider} and it has no equivalent; remove it (known to {', '.join(supporting)})"
