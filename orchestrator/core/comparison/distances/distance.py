"""How far two answers to the same probe are apart: 0 is equal, 1 is entirely different.

Three measures exist. `text` counts equal character trigrams, which works in any language without a tokenizer and in
linear time. `field` compares the leaves of JSON documents, because two documents may differ in one decisive number.
`exact` is for labels of a few words, where similar texts ("true" and "untrue") mean different things.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.comparison.answer import TEXT_OUTCOMES, AnswerOutcome, ModelAnswer

_MIN_SHARE: Final = 0.9  # of the references: one unusual reference must not change the measure of all probes
_MAX_LABEL_WORDS: Final = 3
_PADDING: Final = "\0\0"  # so that texts of one or two characters have trigrams, and first and last characters count
_Leaf = tuple[tuple[str | int, ...], str]
"""Path and encoded value of a value in a JSON document."""


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
    """Measures distances of the answers to one probe, and keeps what it reads from each text.

    Use one meter for each probe: the trigrams of its texts are numbered, and a text is the bits of its numbers in one
    integer, so that two texts are compared by one operation. With the texts of all probes, these would be long.
    """

    def __init__(self, measure: DistanceMeasure) -> None:
        self._measure = measure
        self._numbers: dict[tuple[str, int], int] = {}  # by trigram, and which of its occurrences in a text it is
        self._trigrams: dict[str, tuple[int, int]] = {}  # bits and number of the trigrams, by text
        self._leaves: dict[str, frozenset[_Leaf] | None] = {}  # by text; None: no JSON document

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
            left, right = self._list_leaves(one), self._list_leaves(other)
            if left is not None and right is not None:
                return _measure_fields(left, right)
            if left is not None or right is not None:
                return 1.0  # one is JSON and the other is not
        return self._measure_trigrams(one, other)

    def _measure_trigrams(self, one: str, other: str) -> float:
        """Return 1 - the Dice coefficient of the trigrams, each counted as often as it occurs."""
        left, left_count = self._number_trigrams(one)
        right, right_count = self._number_trigrams(other)
        return 1 - 2 * (left & right).bit_count() / (left_count + right_count)

    def _number_trigrams(self, text: str) -> tuple[int, int]:
        known = self._trigrams.get(text)
        if known is not None:
            return known
        padded = f"{_PADDING}{text}{_PADDING}"
        counts: dict[str, int] = {}
        numbers = []
        for start in range(len(padded) - 2):
            gram = padded[start : start + 3]
            counts[gram] = occurrence = counts.get(gram, 0) + 1
            numbers.append(self._numbers.setdefault((gram, occurrence), len(self._numbers)))
        bits = bytearray(len(self._numbers) // 8 + 1)
        for number in numbers:
            bits[number >> 3] |= 1 << (number & 7)
        self._trigrams[text] = numbered = int.from_bytes(bits, "little"), len(numbers)
        return numbered

    def _list_leaves(self, text: str) -> frozenset[_Leaf] | None:
        if text not in self._leaves:
            document = _parse_document(text)
            self._leaves[text] = None if document is None else frozenset(_iter_leaves(document))
        return self._leaves[text]


def _parse_document(text: str) -> Any:
    """Return the JSON object or array in a text, or None. A bare number or string is a label, not a document."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _measure_fields(one: frozenset[_Leaf], other: frozenset[_Leaf]) -> float:
    """Return the share of the leaves of both documents that are not equal."""
    paths = len({path for path, _ in one} | {path for path, _ in other})
    return (paths - len(one & other)) / paths


def _iter_leaves(document: Any) -> Iterator[_Leaf]:
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
