"""How far two answers to the same probe are apart: 0 is equal, 1 is entirely different.

Three measures exist. `text` counts equal character trigrams, which works in any language without a tokenizer and in
linear time. `field` compares the leaves of JSON documents, because two documents may differ in one decisive number.
`exact` is for labels of a few words, where similar texts ("true" and "untrue") mean different things.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.comparison.answer import TEXT_OUTCOMES, AnswerOutcome, ModelAnswer

_MIN_SHARE: Final = 0.9  # of the references: one unusual reference must not change the measure of all probes
_MAX_LABEL_WORDS: Final = 3
_PADDING: Final = "\0\0"  # so that texts of one or two characters have trigrams, and first and last characters count


class DistanceMeasure(StrEnum):
    """How the texts of two answers are compared."""

    EXACT = "exact"
    TEXT = "text"
    FIELD = "field"


def choose_measure(references: Sequence[str]) -> DistanceMeasure:
    """Choose the measure that suits the references: JSON documents, labels of at most three words, or texts."""
    needed = _MIN_SHARE * len(references)
    if references and sum(_parse_document(each) is not None for each in references) >= needed:
        return DistanceMeasure.FIELD
    if references and sum(len(each.split()) <= _MAX_LABEL_WORDS for each in references) >= needed:
        return DistanceMeasure.EXACT
    return DistanceMeasure.TEXT


class DistanceMeter:
    """Measures distances of answers, and keeps the trigrams of each text, because every text is compared often."""

    def __init__(self, measure: DistanceMeasure) -> None:
        self._measure = measure
        self._trigrams: dict[str, Counter[str]] = {}

    def measure_answers(self, one: ModelAnswer, other: ModelAnswer) -> float | None:
        """Return the distance of two answers in 0 to 1, or None if one of them is an error, which is no answer.

        A text and a refusal are entirely different. Two refusals are equal, because their wording does not
        matter for the task.
        """
        if AnswerOutcome.ERROR in (one.outcome, other.outcome):
            return None
        if one.outcome in TEXT_OUTCOMES and other.outcome in TEXT_OUTCOMES:
            return self.measure_texts(one.text.strip(), other.text.strip())
        return 0.0 if one.outcome is other.outcome else 1.0

    def measure_texts(self, one: str, other: str) -> float:
        """Return the distance of two texts in 0 to 1 by the measure of this meter."""
        if one == other:
            return 0.0
        if self._measure is DistanceMeasure.EXACT:
            return 1.0
        if self._measure is DistanceMeasure.FIELD:
            documents = _parse_document(one), _parse_document(other)
            if None not in documents:
                return _measure_fields(*documents)
            if documents != (None, None):
                return 1.0  # one is JSON and the other is not
        return self._measure_trigrams(one, other)

    def _measure_trigrams(self, one: str, other: str) -> float:
        """Return 1 - the Dice coefficient of the trigrams, each counted as often as it occurs."""
        left, right = self._count_trigrams(one), self._count_trigrams(other)
        if len(left) > len(right):
            left, right = right, left
        common = sum(min(count, right[gram]) for gram, count in left.items() if gram in right)
        return 1 - 2 * common / (left.total() + right.total())

    def _count_trigrams(self, text: str) -> Counter[str]:
        counts = self._trigrams.get(text)
        if counts is None:
            padded = f"{_PADDING}{text}{_PADDING}"
            counts = Counter(padded[start : start + 3] for start in range(len(padded) - 2))
            self._trigrams[text] = counts
        return counts


def _parse_document(text: str) -> Any:
    """Return the JSON object or array in a text, or None. A bare number or string is a label, not a document."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _measure_fields(one: Any, other: Any) -> float:
    """Return the share of the leaves of both documents that are not equal."""
    left, right = dict(_iter_leaves(one)), dict(_iter_leaves(other))
    paths = left.keys() | right.keys()
    missing = object()
    return sum(left.get(path, missing) != right.get(path, missing) for path in paths) / len(paths)


def _iter_leaves(document: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path and the encoded value of each leaf. An empty object or array is a leaf.

    Not recursive: a model can answer with a document that is nested deeper than the interpreter's stack. Values are
    encoded, because Python's `True == 1` does not hold in JSON.
    """
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting.extend(((*path, key), child) for key, child in value.items())
        elif isinstance(value, list) and value:
            waiting.extend(((*path, index), child) for index, child in enumerate(value))
        else:
            yield path, json.dumps(value)
