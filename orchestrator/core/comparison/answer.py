"""The answers of one model to the probes of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from orchestrator.core.structs import Struct, field


class AnswerOutcome(StrEnum):
    """How a call ended. A refusal or a filter is a result of the comparison, not an error."""

    ANSWERED = "answered"
    REFUSED_TEXT = "refused_text"  # the model itself declined
    FILTERED_PROMPT = "filtered_prompt"  # the provider's filter blocked the prompt
    FILTERED_ANSWER = "filtered_answer"  # the provider's filter blocked the answer
    TRUNCATED = "truncated"  # the answer reached the maximum number of tokens
    EMPTY = "empty"
    ERROR = "error"  # no usable response after all retries


TEXT_OUTCOMES = frozenset({AnswerOutcome.ANSWERED, AnswerOutcome.TRUNCATED})
FILTERED_OUTCOMES = frozenset({AnswerOutcome.FILTERED_PROMPT, AnswerOutcome.FILTERED_ANSWER})


class ModelAnswer(Struct, frozen=True, kw_only=True):
    """The answer of one model to one probe in one round."""

    outcome: AnswerOutcome
    text: str = ""
    prompt_tokens: int | None = None  # as the provider counted them; None: not reported
    output_tokens: int | None = None


AnswerRound = Mapping[str, ModelAnswer]
"""The answers of one round, by the id of the probe. A probe without a call is absent."""


class ModelAnswers(Struct, frozen=True, kw_only=True):
    """All answers of the fine-tuned model of one account."""

    account: str
    group: str  # provider and base model of the training spec: distances are measured within a group only
    serving: str | None = None  # base model and precision as served, if the provider reports them
    rounds: Sequence[AnswerRound]
    reference_logprobs: Mapping[str, float] = field(default_factory=dict)  # by probe, where they are known

    def count_errors(self) -> tuple[int, int]:
        """Return the number of calls without a usable response, and the number of all calls."""
        answers = [answer for each in self.rounds for answer in each.values()]
        return sum(answer.outcome is AnswerOutcome.ERROR for answer in answers), len(answers)
