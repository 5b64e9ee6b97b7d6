"""The reasons of a verdict as parts of sentences, which continue the name of an account."""

from __future__ import annotations

from typing import Final

from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.text import format_percent

_OBSTACLES: Final = {
    Obstacle.NO_ANSWERS: "gave no usable answer",
    Obstacle.ERRORS: "failed in more than 5 % of the calls",
    Obstacle.PROMPT_TOKENS: (
        "counts other prompt tokens for the same probes: it has another chat template, another tokenizer or an added "
        "system prompt"
    ),
    Obstacle.SERVING: "is served with another base model or precision",
}
_RATES: Final = {
    MeasurementKind.REFUSED: "refuses {} of the probes",
    MeasurementKind.FILTERED: "is filtered in {} of the probes",
    MeasurementKind.EMPTY: "gives no text in {} of the probes",
    MeasurementKind.TRUNCATED: "reaches the maximum length in {} of the probes",
    MeasurementKind.INVALID_FORMAT: "breaks the JSON format in {} of the probes",
    MeasurementKind.WRONG_LANGUAGE: "answers {} of the probes in another language than expected",
}
_DOUBTS: Final = {
    MeasurementKind.QUALITY: "quality",
    MeasurementKind.LIKELIHOOD: "log-probability of the reference answers",
    MeasurementKind.REFUSED: "rate of refusals",
    MeasurementKind.FILTERED: "rate of filtered answers",
    MeasurementKind.EMPTY: "rate of empty answers",
    MeasurementKind.TRUNCATED: "rate of truncated answers",
    MeasurementKind.INVALID_FORMAT: "rate of invalid formats",
    MeasurementKind.WRONG_LANGUAGE: "rate of answers in another language",
    MeasurementKind.LENGTH: "length of the answers",
    MeasurementKind.DISTANCE: "distance to the other accounts",
    MeasurementKind.CHANGED: "share of changed answers",
    MeasurementKind.PAIR: "share of answers that differ between the two accounts",
}


def format_reason(reason: Measurement | Obstacle) -> str:
    """Return why an account is different, in doubt or not comparable, without naming the account."""
    if isinstance(reason, Obstacle):
        return _OBSTACLES[reason]
    if reason.conclusion is Conclusion.UNSURE:
        return _format_doubt(reason)
    own, others = reason.own or 0.0, reason.others or 0.0
    if reason.kind in _RATES:
        return f"{_RATES[reason.kind].format(format_percent(own))}, the others {format_percent(others)}"
    match reason.kind:
        case MeasurementKind.QUALITY:
            return f"scores {own:.2f}, the others {others:.2f}"
        case MeasurementKind.LIKELIHOOD:
            return f"gives the reference answers a log-probability of {own:.2f} per token, the others {others:.2f}"
        case MeasurementKind.LENGTH:
            return f"answers with {own:.2f} times the length of the others"
        case _:
            return f"stands out: distance {own:.2f} to the others, which are {others:.2f} apart"


def _format_doubt(reason: Measurement) -> str:
    interval = reason.interval
    return (
        f"has too few probes for the {_DOUBTS[reason.kind]}: difference {interval.low:+.2f} to {interval.high:+.2f}, "
        f"margin {reason.margin:.2f}"
    )
