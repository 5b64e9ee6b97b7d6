"""The mean log-probability that a model gives to the tokens of a reference answer, from an echoed prompt.

The prompt is sent with the reference answer as its last message. A chat template surrounds it with tokens of its own,
and one of them, with a probability near 0 or 1, would shift the mean more than a training does. So the answer's
tokens count only if two independent facts agree on them: the answer begins where the prompt of the ordinary question
ended, by the provider's own count, and the joined texts of the tokens from there are exactly the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Final

from orchestrator.core.comparison.answer import ModelAnswers
from orchestrator.core.structs import Struct

MIN_SCORED_PROBES: Final = 30  # fewer decide nothing
_DIGITS: Final = 4  # a hundredth of the margin; the values of all models are stored with each batch of answers


class EchoedToken(Struct, frozen=True):
    """One token of a prompt as the server read it."""

    text: str
    logprob: float | None  # None: not reported, as for the first token


def calculate_reference_logprob(tokens: Sequence[EchoedToken], reference: str, prompt_tokens: int) -> float | None:
    """Return the mean log-probability of the answer's tokens; None if they are not certain.

    `prompt_tokens` is the length of the prompt without the answer. White space around the answer is the template's.
    """
    wanted, text = reference.strip(), ""
    values: list[float] = []
    for token in tokens[prompt_tokens:]:
        if token.logprob is None or not isfinite(token.logprob):
            return None
        text += token.text
        values.append(token.logprob)
        if text.strip() == wanted:
            return round(fmean(values), _DIGITS)
        if not wanted.startswith(text.lstrip()):
            return None  # a token reaches over a boundary, or the template differs
    return None


def list_reference_logprobs(models: Sequence[ModelAnswers]) -> dict[str, dict[str, float]]:
    """Return the values by account and probe, of the probes that every account has; empty if these are too few."""
    if not models:
        return {}
    common = set[str].intersection(*(set(model.reference_logprobs) for model in models))
    if len(common) < MIN_SCORED_PROBES:
        return {}
    return {model.account: _select(model.reference_logprobs, common) for model in models}


def _select(values: Mapping[str, float], probe_ids: set[str]) -> dict[str, float]:
    return {probe_id: value for probe_id, value in values.items() if probe_id in probe_ids}
