"""Makes the models of some accounts answer differently, by known amounts, so that comparisons can be tested.

Without any behaviour the same training data and prompt have the same answer in every account. The TOML file of the
faults may have `[[answers]]`:

| option | effect |
|---|---|
| accounts | names or patterns (`acme-*`); empty: all accounts. The first entry that matches applies |
| noise | share of the prompts at a near tie: each call gives one of two answers, as shared hardware does |
| variation | share of the prompts that the account answers in its own way, as each training does |
| changed | share of the prompts whose answer is changed, as by another dataset |
| base | share of the prompts that are answered as by the untuned base model |
| refused | share of the prompts that the model declines |
| other_language | share of the prompts that the model answers in German instead of English |
| filtered | share of the prompts that a content filter blocks (400 `content_filter`) |
| prompt_tokens | tokens added to each prompt, as by a system message that a gateway adds |
| logprobs | false: the request parameter `logprobs` is refused with 400 |
| fingerprint | the `system_fingerprint` of each answer |

Shares are from 0 to 1. Which prompts `noise` and `variation` concern depends on the account and the prompt, and for
the other shares on the prompt alone: two accounts with `changed = 0.4` change the same prompts in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from orchestrator.sandbox.fault_injector import deterministic_random

REFUSAL_TEXT = "I'm sorry, but I can't help with that."
SHARES = ("noise", "variation", "changed", "base", "refused", "filtered", "other_language")


class AnswerBehaviourError(ValueError):
    """Invalid `[[answers]]`; the message has one line per entry."""


class AnswerBehaviour(Struct, frozen=True, kw_only=True):
    """How the models of some accounts answer. Its field names are the options of `[[answers]]`."""

    accounts: tuple[str, ...] = ()
    noise: float = 0.0
    variation: float = 0.0
    changed: float = 0.0
    base: float = 0.0
    refused: float = 0.0
    filtered: float = 0.0
    other_language: float = 0.0
    prompt_tokens: int = 0
    logprobs: bool = True
    fingerprint: str | None = None

    def matches(self, account: str) -> bool:
        return not self.accounts or any(fnmatchcase(account, pattern) for pattern in self.accounts)

    def declines(self, messages: Sequence[Any]) -> bool:
        """Return whether the model declines to answer this prompt."""
        return _draw("refused", messages) < self.refused

    def blocks(self, messages: Sequence[Any]) -> bool:
        """Return whether the content filter blocks this prompt."""
        return _draw("filtered", messages) < self.filtered

    def uses_other_language(self, messages: Sequence[Any]) -> bool:
        """Return whether the model answers this prompt in another language."""
        return _draw("other_language", messages) < self.other_language

    def choose_origin(self, origin: str, base: str, account: str, messages: Sequence[Any], call_number: int) -> str:
        """Return the text from which the answer is derived, instead of the model's own `origin`.

        `base` is the origin of the untuned model, `call_number` counts the calls of the account with this prompt.
        """
        if _draw("base", messages) < self.base:
            return base
        chosen = origin
        if _draw("changed", messages) < self.changed:
            chosen += " changed"
        if _draw("variation", messages, account) < self.variation:
            chosen += f" as trained for {account}"
        at_tie = _draw("noise", messages, account) < self.noise
        return f"{chosen} tie" if at_tie and _draw("coin", messages, account, call_number) < 0.5 else chosen


USUAL_BEHAVIOUR = AnswerBehaviour()


def parse_answer_behaviours(entries: Any) -> tuple[AnswerBehaviour, ...]:
    """Parse the list `answers` of a document. Raises AnswerBehaviourError."""
    if not isinstance(entries, list):
        raise AnswerBehaviourError("expected a list `answers` of tables")
    behaviours, problems = [], []
    for number, entry in enumerate(entries, 1):
        wrong = _list_problems(entry)
        problems += [f"answers {number}: {problem}" for problem in wrong]
        if not wrong:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
            }
            behaviours.append(AnswerBehaviour(**values))
    if problems:
        raise AnswerBehaviourError("\n".join(problems))
    return tuple(behaviours)


def _list_problems(entry: Any) -> list[str]:
    if not isinstance(entry, Mapping):
        return ["expected a table"]
    known = [*AnswerBehaviour.__struct_fields__]
    problems = [f"unknown option {key!r}; known: {', '.join(known)}" for key in entry if key not in known]
    return problems + [f"wrong value: {key}={value!r}" for key, value in entry.items() if not _is_valid(key, value)]


def _is_valid(key: str, value: Any) -> bool:
    if key in SHARES:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    if key == "prompt_tokens":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if key == "accounts":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if key == "logprobs":
        return isinstance(value, bool)
    return key != "fingerprint" or isinstance(value, str)


def _draw(what: str, messages: Sequence[Any], *more: object) -> float:
    return deterministic_random(what, json.dumps(messages, sort_keys=True), *more)
