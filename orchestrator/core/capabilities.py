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


class FoundBy(StrEnum):
    """How a remote job of ours is found again after its create's answer was lost."""

    METADATA = "metadata"
    OUR_ID = "its id, which we choose"
    SUFFIX = "suffix, training file and base model"
    EITHER = "metadata; else suffix, training file and base model"


class PriceFrom(StrEnum):
    """Who says what training costs."""

    FILE = "the price file"
    ASKED = "the provider's estimate, once the file is there; before that the price file"
    TOLD = "the price file; the provider tells a job's price once it is created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider offers.

    `options` are those of `[run.PROVIDER]` it understands besides `base_model`. `servable` says whether a finished
    model can be called at once; where it cannot, `serving` says what it needs. `shows_models` is whether it can be
    asked if a finished model is still there. A file above `direct_bytes` goes in parts, and goes on after a restart
    where it stopped. `moderation` is whether it has a Moderation API, `may_moderate` whether its server may have the
    endpoint, so that an account named for moderation is asked. `unconfirmed` is in words.
    """

    found_by: FoundBy
    methods: tuple[Method, ...] = ("supervised",)
    options: tuple[str, ...] = ("method", "n_epochs", "batch_size")
    seed: bool
    suffix_length: int
    events: bool
    cancel: bool = True
    losses: bool = False
    shows_models: bool = False
    price: PriceFrom
    servable: bool
    serving: str
    minimum_examples: int
    maximum_bytes: int
    moderation: bool = False
    may_moderate: bool = False
    direct_bytes: int | None = None
    unconfirmed: tuple[str, ...] = ()

    @property
    def quotes(self) -> bool:
        """Whether it can be asked what a job would cost."""
        return self.price is PriceFrom.ASKED


_BOTH: Final[tuple[Method, ...]] = ("supervised", "dpo")
_FACTOR: Final = ("method", "n_epochs", "batch_size", "learning_rate_multiplier")
_RATE: Final = ("method", "n_epochs", "batch_size", "learning_rate", "context_length")

CAPABILITIES: Final[Mapping[ProviderName, Capabilities]] = {
    ProviderName.OPENAI: Capabilities(
        found_by=FoundBy.METADATA,
        methods=_BOTH,
        options=_FACTOR,
        seed=True,
        suffix_length=64,
        events=True,
        losses=True,
        shows_models=True,
        price=PriceFrom.FILE,
        servable=True,
        serving="at once, by its model id",
        minimum_examples=10,
        maximum_bytes=8 * GB,
        direct_bytes=512 * MB,
        moderation=True,
        may_moderate=True,
        unconfirmed=("the code of a refused creation", "training prices"),
    ),
    ProviderName.AZURE: Capabilities(
        found_by=FoundBy.SUFFIX,
        methods=_BOTH,
        options=(*_FACTOR, "training_type", "byte_order_mark"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        price=PriceFrom.FILE,
        servable=False,
        serving="needs a deployment, made in the portal or with the resource manager's API, not with this key",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_moderate=True,
        unconfirmed=(
            "metadata and its list filter: not used",
            "whether files need the byte-order mark",
            "whether a finished model is shown by its id: not asked",
        ),
    ),
    ProviderName.NEBIUS: Capabilities(
        found_by=FoundBy.SUFFIX,
        options=(*_RATE, "lora", "lora_rank", "lora_alpha"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        price=PriceFrom.FILE,
        servable=False,
        serving="the result is a checkpoint; POST /v0/models makes a model of it that can be called",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_moderate=True,
        unconfirmed=(
            "the longest suffix",
            "the fewest examples; 10 are asked for",
            "the largest file; 5 GB is said, 512 MB is allowed",
        ),
    ),
    ProviderName.OPENAI_COMPATIBLE: Capabilities(
        found_by=FoundBy.EITHER,
        methods=_BOTH,
        options=_FACTOR,
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        price=PriceFrom.FILE,
        servable=True,
        serving="depends on the server; taken to be callable at once",
        minimum_examples=10,
        maximum_bytes=512 * MB,
        may_moderate=True,
        unconfirmed=("everything: it depends on the server",),
    ),
    ProviderName.TOGETHER: Capabilities(
        found_by=FoundBy.SUFFIX,
        methods=_BOTH,
        options=(*_RATE, "lora", "lora_rank", "lora_alpha"),
        seed=True,
        suffix_length=40,
        events=True,
        losses=True,
        price=PriceFrom.ASKED,
        servable=False,
        serving="needs a dedicated endpoint",
        minimum_examples=1,
        maximum_bytes=5 * GB,
        unconfirmed=("whether the suffix is always shown in lists",),
    ),
    ProviderName.FIREWORKS: Capabilities(
        found_by=FoundBy.OUR_ID,
        methods=_BOTH,
        options=(*_RATE, "lora_rank"),
        seed=False,
        suffix_length=64,
        events=False,
        shows_models=True,
        price=PriceFrom.TOLD,
        servable=False,
        serving="needs a deployment",
        minimum_examples=3,
        maximum_bytes=5 * GB,
        unconfirmed=(
            "the largest file behind a signed address",
            "what batch_size counts: samples are sent",
            "the form of its file of metrics: not read",
        ),
    ),
}

OURS: Final = frozenset({"base_model", "pin_auto", "tokenizer"})  # options that no provider is asked about

EQUIVALENTS: Final[Mapping[str, tuple[str, str]]] = {
    "learning_rate_multiplier": ("learning_rate", "the rate itself, for example 1e-5"),
    "learning_rate": ("learning_rate_multiplier", "a factor on a rate of the provider's choice, for example 2"),
    "lora_alpha": ("lora_rank", "the size of the adapter"),
}


def goes_in_parts(size: int, offers: Capabilities) -> bool:
    """Whether a file of so many bytes is sent in parts."""
    return offers.direct_bytes is not None and size > offers.direct_bytes


def lacking(provider: ProviderName, option: str) -> str | None:
    """Why this provider cannot be given the option, naming its equivalent; None when it can."""
    offers = CAPABILITIES[provider]
    if option in OURS or option in offers.options:
        return None
    other, meaning = EQUIVALENTS.get(option, ("", ""))
    if other in offers.options:
        return f"is not an option of {provider}; its equivalent is {other}, {meaning}"
    having = [name for name, each in CAPABILITIES.items() if option in each.options]
    return f"is not an option of {provider} and it has no equivalent; remove it (known to {', '.join(having)})"
