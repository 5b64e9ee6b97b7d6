"""The distances between the answers of all models to one probe.

Many models give the same answer, so the distance of two texts is measured once, and the values of two models once for
all models that gave these answers in their rounds. With 100 accounts this is twenty times less work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Final, NamedTuple

from orchestrator.core.comparison.answer import TEXT_OUTCOMES, AnswerOutcome, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure, DistanceMeter
from orchestrator.core.structs import Struct

CHANGED_DISTANCE: Final = 0.1  # beyond it, an answer counts as changed: more than a comma or a blank

_AnswerNumbers = tuple[int | None, ...]
"""The answers of one model in its rounds, as numbers of the distinct answers; None: no answer."""


class ProbeDistance(NamedTuple):
    """What the answers of two models to one probe have in common."""

    mean: float | None  # distance over the pairs of rounds; None: an answer is missing in each of them
    changed: float | None  # share of the pairs of rounds with another answer
    squares: float  # sum of the squared distances


class _DistinctAnswer(Struct, frozen=True):
    """What two answers are compared by: the text, or for an answer without a text its outcome."""

    outcome: AnswerOutcome | None
    text: str


class ProbeColumn:
    """Measures the models by their answers to one probe. A model is its position in the sequence of all models."""

    def __init__(
        self,
        answers: Iterable[Sequence[ModelAnswer | None]],
        base: ModelAnswer | None,
        measure: DistanceMeasure,
    ) -> None:
        """`answers` are those of each model by round, `base` is that of the untuned base model."""
        self._meter = DistanceMeter(measure)
        self._distinct: list[ModelAnswer] = []
        self._numbers: dict[_DistinctAnswer, int] = {}
        self._models = [tuple(map(self._number_answer, each)) for each in answers]
        self._base: _AnswerNumbers = (self._number_answer(base),)
        self._distances: dict[tuple[int, int], float | None] = {}
        self._pairs: dict[tuple[_AnswerNumbers, _AnswerNumbers], ProbeDistance] = {}

    def measure_pair(self, one: int, other: int) -> ProbeDistance:
        """Return the distance of two models over all pairs of their rounds."""
        return self._measure_product(self._models[one], self._models[other])

    def measure_base(self, model: int) -> ProbeDistance:
        """Return the distance of a model to the base model."""
        return self._measure_product(self._models[model], self._base)

    def measure_floor(self, model: int) -> ProbeDistance:
        """Return the distance of a model to itself between its rounds."""
        return self._summarise(combinations(self._models[model], 2))

    def _number_answer(self, answer: ModelAnswer | None) -> int | None:
        if answer is None:
            return None
        has_text = answer.outcome in TEXT_OUTCOMES
        distinct = _DistinctAnswer(None, answer.text.strip()) if has_text else _DistinctAnswer(answer.outcome, "")
        number = self._numbers.setdefault(distinct, len(self._distinct))
        if number == len(self._distinct):
            self._distinct.append(answer)
        return number

    def _measure_product(self, left: _AnswerNumbers, right: _AnswerNumbers) -> ProbeDistance:
        found = self._pairs.get((left, right))
        if found is None:
            found = self._pairs[left, right] = self._summarise(product(left, right))
        return found

    def _summarise(self, pairs: Iterable[tuple[int | None, int | None]]) -> ProbeDistance:
        measured = [
            self._measure_answers(one, other) for one, other in pairs if one is not None and other is not None
        ]
        known = [each for each in measured if each is not None]
        if not known:
            return ProbeDistance(None, None, 0.0)
        return ProbeDistance(
            sum(known) / len(known),
            sum(value > CHANGED_DISTANCE for value in known) / len(known),
            sum(value * value for value in known),
        )

    def _measure_answers(self, one: int, other: int) -> float | None:
        key = (one, other) if one < other else (other, one)
        if key not in self._distances:
            self._distances[key] = self._meter.measure_answers(self._distinct[one], self._distinct[other])
        return self._distances[key]
