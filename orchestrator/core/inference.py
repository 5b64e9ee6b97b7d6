"""A question to a model and its reply, in the form that all providers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer
from orchestrator.core.structs import Struct, field

MAX_REPLY_CHARACTERS: Final = 100_000
"""A longer text is cut: 512 tokens are a few thousand characters, so this is a server that does not stop."""


class OptionalParameter(StrEnum):
    """A parameter without which a model can be asked, too, in the order in which they are left out.

    These values are stored and shown.
    """

    OUTPUT_LIMIT = "output_limit"  # not left out: the other name of the maximum is sent, where there is one
    LOGPROBS = "logprobs"
    CONTEXT_BEHAVIOR = "context_length_exceeded_behavior"
    PENALTIES = "penalties"
    THINKING = "thinking"
    SEED = "seed"
    TOP_P = "top_p"
    TEMPERATURE = "temperature"


class ChatQuestion(Struct, frozen=True, kw_only=True):
    """One question. The same values are sent to every model; what a model refuses is left out and reported."""

    messages: Sequence[Mapping[str, Any]]  # OpenAI's chat format, the last one of the user
    max_output_tokens: int
    temperature: float = 0.0
    seed: int | None = 0
    top_logprobs: int = 0  # 0: none are requested
    routing_key: str | None = (
        None  # unique for each call, so that a sticky router spreads the calls over its replicas
    )


class ReferenceQuestion(Struct, frozen=True, kw_only=True):
    """A question with its reference answer, whose log-probability is requested."""

    messages: Sequence[Mapping[str, Any]]
    reference: str
    prompt_tokens: int  # of the messages alone, as the provider counted them


class ReferenceScore(Struct, frozen=True, kw_only=True):
    """What a provider reports about a reference answer."""

    is_reported: bool  # whether the response has log-probabilities of the prompt at all
    mean_logprob: float | None = None  # of the answer's tokens; None: unknown which ones they are
    prompt_tokens: int | None = None
    output_tokens: int | None = None


class ModelAddress(Struct, frozen=True, kw_only=True):
    """Where and under which name a model is called."""

    base_url: str
    model: str


class ChatReply(Struct, frozen=True, kw_only=True):
    """How a model replied. A refusal or a filter is a reply; a call that failed is a ProviderError."""

    outcome: AnswerOutcome
    text: str = ""
    prompt_tokens: int | None = None  # as the provider counted them; None: not reported
    output_tokens: int | None = None
    finish_reason: str | None = None  # the provider's own word
    served_as: str | None = None  # what the provider says answered: a fingerprint or a model version
    request_id: str | None = None
    mean_logprob: float | None = None  # mean log-probability of the answer's tokens; None: not reported
    left_out: frozenset[OptionalParameter] = field(default_factory=frozenset)  # refused by this model

    def to_answer(self) -> ModelAnswer:
        """Return the part of the reply that a comparison uses."""
        return ModelAnswer(
            outcome=self.outcome,
            text=self.text,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
        )
