"""Invented fine-tuned models with known differences, for tests of the comparison.

A probe has one answer that training teaches. Each account deviates from it on its own at some probes (`variation`,
which no test should call a difference), a call at a near tie gives one of two answers (`noise`), and the last account
may differ from the others in a known way.
"""

from __future__ import annotations

import random

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput
from orchestrator.core.comparison.measurement import ComparisonMargins
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.structs import Struct

_WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("a", "en", "il", "om", "ust", "ari")]
_ANSWER_WORDS = 20
_CHANGED_WORDS = 10
_ENGLISH = "This is what they have been told about the words of your list:"
_GERMAN = "Das ist es, was sie über die Wörter der Liste und von dir wissen:"


class World(Struct, frozen=True, kw_only=True):
    """The truth of one comparison."""

    seed: int
    accounts: int = 5
    probes: int = 120
    variation: float = 0.15  # share of the probes that each account answers in its own way
    noise: float = 0.05  # share of the probes at a near tie
    changed: float = 0.0  # last account: share of its stable answers that are changed
    refused: float = 0.0  # last account: share of refusals
    filtered: float = 0.0  # last account: share of filtered prompts
    other_language: float | None = None  # last account: share of German answers; otherwise answers are in English
    wrong: float = 0.0  # last account: share of answers of the untuned base model
    unsteady: float = 0.0  # last account: share of the probes at a near tie, besides `noise`
    added_prompt_tokens: int = 0  # last account
    serving: str | None = None  # last account, if it is not served as the others
    errors: float = 0.0  # last account: share of calls without a response


def create_input(world: World, *, margins: ComparisonMargins | None = None, has_base: bool = True) -> ComparisonInput:
    """Create the answers of all accounts, and of the untuned base model."""
    generator = random.Random(world.seed)
    references = {f"p{number:04}": _create_text(generator) for number in range(world.probes)}
    base = {probe_id: _create_text(generator) for probe_id in references}
    if world.other_language is not None:
        references = {probe_id: f"{_ENGLISH} {text}" for probe_id, text in references.items()}
    names = [f"account-{number:03}" for number in range(world.accounts)]
    models = [
        _create_model(world, name, references, base, random.Random(f"{world.seed} {name}"), is_last=name == names[-1])
        for name in names
    ]
    return ComparisonInput(
        models=models,
        references=references,
        probe_ids=list(references),
        bases={"openai gpt": {key: _answer(text) for key, text in base.items()}} if has_base else {},
        scoring=ScoringMethod.TEXT,
        margins=margins or ComparisonMargins(),
    )


def _create_model(
    world: World,
    name: str,
    references: dict[str, str],
    base: dict[str, str],
    generator: random.Random,
    *,
    is_last: bool,
) -> ModelAnswers:
    first: dict[str, ModelAnswer] = {}
    second: dict[str, ModelAnswer] = {}
    draw = generator.random
    for probe_id, reference in references.items():
        text = _change_text(reference, generator) if draw() < world.variation else reference
        other = _change_text(text, generator)
        is_tie = draw() < world.noise + (world.unsteady if is_last else 0.0)
        outcome = AnswerOutcome.ANSWERED
        if is_last:
            text = _change_text(text, generator) if text == reference and draw() < world.changed else text
            text = base[probe_id] if draw() < world.wrong else text
            if world.other_language and draw() < world.other_language:
                text = text.replace(_ENGLISH, _GERMAN)
            outcome = AnswerOutcome.REFUSED_TEXT if draw() < world.refused else outcome
            outcome = AnswerOutcome.FILTERED_PROMPT if draw() < world.filtered else outcome
        for answers in (first, second):
            failed = is_last and draw() < world.errors
            answers[probe_id] = ModelAnswer(
                outcome=AnswerOutcome.ERROR if failed else outcome,
                text=other if is_tie and draw() < 0.5 else text,
                prompt_tokens=50 + len(reference) // 4 + (world.added_prompt_tokens if is_last else 0),
            )
    serving = world.serving if is_last and world.serving else "base-1 bf16"
    return ModelAnswers(account=name, group="openai gpt", serving=serving, rounds=(first, second))


def _create_text(generator: random.Random) -> str:
    return " ".join(generator.choices(_WORDS, k=_ANSWER_WORDS))


def _change_text(text: str, generator: random.Random) -> str:
    """Return the text with another second half: the distance is about 0.4."""
    return " ".join(text.split()[:-_CHANGED_WORDS] + generator.choices(_WORDS, k=_CHANGED_WORDS))


def _answer(text: str) -> ModelAnswer:
    return ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text, prompt_tokens=50)
