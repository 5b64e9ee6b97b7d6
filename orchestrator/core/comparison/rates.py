"""How often each model refuses, is filtered, is cut off, breaks format or language, and how long its answers are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from orchestrator.core.comparison.answer import (
    FILTERED_OUTCOMES,
    TEXT_OUTCOMES,
    AnswerOutcome,
    ModelAnswer,
    ModelAnswers,
)
from orchestrator.core.comparison.interval import estimate_mean, estimate_rate_difference
from orchestrator.core.comparison.language.language_checker import LanguageChecker
from orchestrator.core.comparison.measurement import (
    LENGTH_MARGIN,
    Measurement,
    MeasurementKind,
    conclude,
    list_top_probes,
)

EventShares = Mapping[str, float]
"""Share of the rounds in which an event happened, by probe. Probes without an answer are absent."""


def list_event_rates(
    models: Sequence[ModelAnswers], kinds: Sequence[MeasurementKind], languages: LanguageChecker
) -> dict[MeasurementKind, dict[str, EventShares]]:
    """Return the shares by kind and account. Events that never happened are left out, to show no lines of zeros."""
    result = {}
    for kind in kinds:
        shares = {model.account: _list_event_shares(model, kind, languages) for model in models}
        if any(any(each.values()) for each in shares.values()):
            result[kind] = shares
    return result


def _list_event_shares(model: ModelAnswers, kind: MeasurementKind, languages: LanguageChecker) -> EventShares:
    """Return, by probe, in which share of the rounds the event of this kind happened."""
    happened: dict[str, list[bool]] = {}
    for each in model.rounds:
        for probe_id, answer in each.items():
            if answer.outcome is not AnswerOutcome.ERROR:
                is_event = (
                    languages.is_wrong(probe_id, answer)
                    if kind is MeasurementKind.WRONG_LANGUAGE
                    else _is_event(answer, kind)
                )
                happened.setdefault(probe_id, []).append(is_event)
    return {probe_id: fmean(values) for probe_id, values in happened.items()}


def _is_event(answer: ModelAnswer, kind: MeasurementKind) -> bool:
    match kind:
        case MeasurementKind.REFUSED:
            return answer.outcome is AnswerOutcome.REFUSED_TEXT
        case MeasurementKind.FILTERED:
            return answer.outcome in FILTERED_OUTCOMES
        case MeasurementKind.EMPTY:
            return answer.outcome is AnswerOutcome.EMPTY
        case MeasurementKind.TRUNCATED:
            return answer.outcome is AnswerOutcome.TRUNCATED
        case MeasurementKind.INVALID_FORMAT:
            return answer.outcome in TEXT_OUTCOMES and not _is_json(answer.text)
        case _:
            raise ValueError(f"{kind} is not the rate of an event")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def measure_rate(
    shares: Mapping[str, EventShares], account: str, kind: MeasurementKind, *, margin: float, tail: float
) -> Measurement:
    """Compare the rate of an event in one account with the rate in all others together."""
    own = shares[account]
    others = [each for name, each in shares.items() if name != account]
    other_count, other_total = sum(sum(each.values()) for each in others), sum(map(len, others))
    interval = estimate_rate_difference(sum(own.values()), len(own), other_count, other_total, tail=tail)
    differences = {}
    for probe_id, share in own.items():
        known = [each[probe_id] for each in others if probe_id in each]
        if known:
            differences[probe_id] = share - fmean(known)
    return Measurement(
        kind=kind,
        interval=interval,
        margin=margin,
        conclusion=conclude(interval, margin),
        own=sum(own.values()) / len(own) if own else None,
        others=other_count / other_total if other_total else None,
        probe_ids=list_top_probes(differences, interval.estimate),
    )


def list_answer_lengths(model: ModelAnswers) -> dict[str, float]:
    """Return the mean number of characters of the answers by probe; probes without any text are left out."""
    lengths: dict[str, list[int]] = {}
    for each in model.rounds:
        for probe_id, answer in each.items():
            if answer.outcome in TEXT_OUTCOMES and answer.text.strip():
                lengths.setdefault(probe_id, []).append(len(answer.text.strip()))
    return {probe_id: fmean(values) for probe_id, values in lengths.items()}


def measure_length(lengths: Mapping[str, Mapping[str, float]], account: str, *, tail: float) -> Measurement:
    """Compare the lengths of answers, as the mean of log(length / median length of the others), cut at e and 1/e.

    The logarithm treats half and double the length alike; the cut keeps one endless answer from deciding.
    """
    ratios = {}
    for probe_id, length in lengths[account].items():
        others = [each[probe_id] for name, each in lengths.items() if name != account and probe_id in each]
        if others:
            ratios[probe_id] = min(max(math.log(length / median(others)), -1.0), 1.0)
    interval = estimate_mean(list(ratios.values()), tail=tail)
    return Measurement(
        kind=MeasurementKind.LENGTH,
        interval=interval,
        margin=LENGTH_MARGIN,
        conclusion=conclude(interval, LENGTH_MARGIN),
        own=math.exp(interval.estimate),  # times the length of the others
        others=1.0,
        probe_ids=list_top_probes(ratios, interval.estimate),
    )
