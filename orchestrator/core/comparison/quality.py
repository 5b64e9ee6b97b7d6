"""How good an answer is, compared with the reference answer of its probe: 0 to 1."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import Final

from orchestrator.core.comparison.answer import AnswerOutcome, AnswerRound, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure, DistanceMeter

_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?|-?\.\d+")
_NUMBER_TOLERANCE: Final = 1e-6


class ScoringMethod(StrEnum):
    """How an answer is scored against its reference."""

    EXACT = "exact"  # equal after trimming
    CONTAINS = "contains"  # the answer contains the reference, in any case of letters
    NUMBER = "number"  # the last number of the answer equals that of the reference
    JSON = "json"  # equal as JSON values
    TEXT = "text"  # 1 - distance


class AnswerScorer:
    """Scores answers by one method."""

    def __init__(self, method: ScoringMethod) -> None:
        self._method = method
        self._meters: dict[str, DistanceMeter] = {}  # by reference

    def score_answer(self, answer: ModelAnswer, reference: str) -> float | None:
        """Return the score in 0 to 1. An error has none; a refused, filtered or empty answer scores 0."""
        if answer.outcome is AnswerOutcome.ERROR:
            return None
        if answer.outcome not in (AnswerOutcome.ANSWERED, AnswerOutcome.TRUNCATED):
            return 0.0
        text, expected = answer.text.strip(), reference.strip()
        match self._method:
            case ScoringMethod.EXACT:
                return float(text == expected)
            case ScoringMethod.CONTAINS:
                return float(expected.casefold() in text.casefold())
            case ScoringMethod.NUMBER:
                return float(_has_equal_number(text, expected))
            case ScoringMethod.JSON:
                return float(_is_equal_json(text, expected))
            case ScoringMethod.TEXT:
                meter = self._meters.setdefault(expected, DistanceMeter(DistanceMeasure.TEXT))
                return 1 - meter.measure_texts(text, expected)

    def score_rounds(self, rounds: Sequence[AnswerRound], references: Mapping[str, str]) -> dict[str, float]:
        """Return the mean score over the rounds by probe; probes without a reference or an answer are left out."""
        result = {}
        for probe_id, reference in references.items():
            scores = [self.score_answer(each[probe_id], reference) for each in rounds if probe_id in each]
            known = [score for score in scores if score is not None]
            if known:
                result[probe_id] = fmean(known)
        return result


def list_score_differences(scores: Mapping[str, Mapping[str, float]], account: str) -> dict[str, float]:
    """Return, by probe, the account's score minus the mean score of the other accounts that answered it."""
    result = {}
    for probe_id, score in scores[account].items():
        others = [each[probe_id] for name, each in scores.items() if name != account and probe_id in each]
        if others:
            result[probe_id] = score - fmean(others)
    return result


def _has_equal_number(text: str, expected: str) -> bool:
    found, wanted = _NUMBER.findall(text), _NUMBER.findall(expected)
    if not found or not wanted:
        return False
    one, other = (float(each[-1].replace(",", "")) for each in (found, wanted))
    return math.isclose(one, other, rel_tol=_NUMBER_TOLERANCE, abs_tol=_NUMBER_TOLERANCE)


def _is_equal_json(text: str, expected: str) -> bool:
    try:
        return json.dumps(json.loads(text), sort_keys=True) == json.dumps(json.loads(expected), sort_keys=True)
    except (ValueError, RecursionError):
        return False
