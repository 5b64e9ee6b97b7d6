"""Whether the answers of an account may be compared with the others at all.

The number of prompt tokens is the cheapest and sharpest check: for one probe it is equal in all accounts of a group,
unless an account has another chat template, another tokenizer or a system prompt that a gateway adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from orchestrator.core.comparison.answer import ModelAnswers

MAX_ERROR_SHARE: Final = 0.05
_Value = TypeVar("_Value", bound=Hashable)


class Obstacle(StrEnum):
    """Why an account is not comparable. These values are stored and are part of the API."""

    NO_ANSWERS = "no_answers"
    ERRORS = "errors"  # more than 5 % of the calls failed
    PROMPT_TOKENS = "prompt_tokens"  # the provider counts other prompt tokens than in the other accounts
    SERVING = "serving"  # the provider serves another base model or precision than in the other accounts


def find_obstacles(models: Sequence[ModelAnswers]) -> dict[str, Obstacle]:
    """Return the accounts that are not comparable, with the first reason. Accounts are checked within their group."""
    obstacles: dict[str, Obstacle] = {}
    for model in models:
        errors, calls = model.count_errors()
        if not calls or errors == calls:
            obstacles[model.account] = Obstacle.NO_ANSWERS
        elif errors > MAX_ERROR_SHARE * calls:
            obstacles[model.account] = Obstacle.ERRORS
    for group in {model.group: None for model in models}:
        members = [model for model in models if model.group == group and model.account not in obstacles]
        servings = {model.account: model.serving for model in members if model.serving is not None}
        obstacles |= dict.fromkeys(_list_minority(servings), Obstacle.SERVING)
        obstacles |= {
            account: Obstacle.PROMPT_TOKENS for account in _list_unequal_tokens(members) if account not in obstacles
        }
    return obstacles


def _list_unequal_tokens(members: Sequence[ModelAnswers]) -> set[str]:
    counts: dict[str, dict[str, int]] = {}  # by probe and account
    for model in members:
        for each in model.rounds:
            for probe_id, answer in each.items():
                if answer.prompt_tokens is not None:
                    counts.setdefault(probe_id, {})[model.account] = answer.prompt_tokens
    return {account for by_account in counts.values() for account in _list_minority(by_account)}


def _list_minority(values: Mapping[str, _Value]) -> Iterable[str]:
    """List the accounts whose value is not that of more than half of the accounts; all if no value is."""
    if not values:
        return ()
    (common, count), *_ = Counter(values.values()).most_common(1)
    if count == len(values):
        return ()
    has_majority = count > len(values) / 2
    return [account for account, value in values.items() if not has_majority or value != common]
