"""Capabilities: what each provider offers, as data. docs/providers.md is generated from it.

Sizes are bytes of one file. What nobody could confirm is named: the program is built so that either answer works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.spec import Method

MB: Final = 1_000_000
GB: Final = 1_000 * MB


class JobLookup(StrEnum):
    """How a remote job of ours is found again after its create's answer was lost."""

    METADATA = "metadata"
    CLIENT_ID = "its id, which the service chooses"
    SUFFIX = "suffix, training file and base model"
    METADATA_OR_SUFFIX = "metadata; else suffix, training file and base model"


class PriceSource(StrEnum):
    """Where the price of a training comes from. The values are texts of docs/providers.md."""

    PRICE_FILE = "the price file"
    PROVIDER_ESTIMATE = "the provider's estimate once it has the file; until then the price file"
    PROVIDER_AFTER_CREATE = "the price file; the provider reports a job's price after it is created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider offers.

    `options` are those of `[run.PROVIDER]` it understands besides `base_model`. `servable` says whether a finished
    model can be called at once; where it cannot, `serving` says what it needs. `has_model_lookup` is whether it can
    be asked if a finished model is still there. A file above `multipart_threshold_bytes` goes in parts, and goes on
    after a restart where it stopped. `moderation` is whether it has a Moderation API, `may_have_moderation` whether
    its server may have the endpoint, so that an account named for moderation is asked. `unconfirmed` is in words.
    """

    job_lookup: JobLookup
    methods: tuple[Method, ...] = ("supervised",)
    options: tuple[str, ...] = ("method", "n_epochs", "batch_size")
    seed: bool
    suffix_length: int
    events: bool
    cancel: bool = True
    losses: bool = False
    has_model_lookup: bool = False
    price_source: PriceSource
    servable: bool
    serving: str
    minimum_examples: int
    maximum_bytes: int
    moderation: bool = False
    may_have_moderation: bool = False
    multipart_threshold_bytes: int | None = None
    unconfirmed: tuple[str, ...] = ()

    @property
    def has_quotes(self) -> bool:
        """Whether it can be asked what a job would cost."""
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
        price_source=PriceSource.PRICE_FILE,
        servable=True,
        serving="at once, by its model id",
        minimum_examples=10,
        maximum_bytes=8 * GB,
        multipart_threshold_bytes=512 * MB,
        moderation=True,
        may_have_moderation=True,
        unconfirmed=("the code of a refused creation", "training prices"),
    ),
    ProviderName.AZURE: Capabilities(
        job_lookup=JobLookup.SUFFIX,
        methods=_ALL_METHODS,
        options=(*_MULTIPLIER_OPTIONS, "training_type", "byte_order_mark"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        price_source=PriceSource.PRICE_FILE,
        servable=False,
        serving="needs a deployment, created in the portal or with the resource manager's API, not with this key",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_have_moderation=True,
        unconfirmed=(
            "metadata and its list filter: not used",
            "whether files need the byte-order mark",
            "whether a finished model can be looked up by its id: not used",
        ),
    ),
    ProviderName.NEBIUS: Capabilities(
        job_lookup=JobLookup.SUFFIX,
        options=(*_LEARNING_RATE_OPTIONS, "lora", "lora_rank", "lora_alpha"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        price_source=PriceSource.PRICE_FILE,
        servable=False,
        serving="the result is a checkpoint; POST /v0/models turns it into a callable model",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_have_moderation=True,
        unconfirmed=(
            "the maximum suffix length",
            "the minimum number of examples; 10 are required here",
            "the maximum file size; 5 GB is documented, 512 MB is allowed here",
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
        price_source=PriceSource.PRICE_FILE,
        servable=True,
        serving="depends on the server; assumed to be callable immediately",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_have_moderation=True,
        unconfirmed=("everything: it depends on the server",),
    ),
    ProviderName.TOGETHER: Capabilities(
        job_lookup=JobLookup.SUFFIX,
        methods=_ALL_METHODS,
        options=(*_LEARNING_RATE_OPTIONS, "lora", "lora_rank", "lora_alpha"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
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
            "the unit of batch_size: it is sent as a number of samples",
            "the format of its metrics file: not read",
        ),
    ),
}

LOCAL_OPTIONS: Final = frozenset({"base_model", "pin_auto", "tokenizer"})  # options that no provider is asked about

EQUIVALENT_OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "learning_rate_multiplier": ("learning_rate", "the rate itself, for example 1e-5"),
    "learning_rate": ("learning_rate_multiplier", "a factor on a rate of the provider's choice, for example 2"),
    "lora_alpha": ("lora_rank", "the size of the adapter"),
}


def needs_multipart(size: int, capabilities: Capabilities) -> bool:
    """Whether a file of so many bytes is sent in parts."""
    return capabilities.multipart_threshold_bytes is not None and size > capabilities.multipart_threshold_bytes


def unsupported_reason(provider: ProviderName, option: str) -> str | None:
    """Why this provider cannot be given the option, naming its equivalent; None when it can."""
    offers = CAPABILITIES[provider]
    if option in LOCAL_OPTIONS or option in offers.options:
        return None
    other, meaning = EQUIVALENT_OPTIONS.get(option, ("", ""))
    if other in offers.options:
        return f"is not an option of {provider}; its equivalent is {other}, {meaning}"
    having = [name for name, each in CAPABILITIES.items() if option in each.options]
    return f"is not an option of {provider} and it has no equivalent; remove it (known to {', '.join(having)})"
