"""Compares quality, rates and lengths of each account with a pool of the other accounts.

The pool matters: if one of three accounts refuses half of the probes, each of the other two differs from the mean of
"the others" as well. Therefore the accounts that stand out are removed from the pool, the most deviating one first,
and everything is measured again. At least two accounts stay in the pool; of two, nothing tells which one is unusual.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from statistics import fmean
from typing import Final, TypeVar

from orchestrator.core.comparison.interval import estimate_mean
from orchestrator.core.comparison.measurement import (
    TAIL,
    Conclusion,
    Measurement,
    MeasurementKind,
    conclude,
    list_top_probes,
)
from orchestrator.core.comparison.quality import list_score_differences
from orchestrator.core.comparison.rates import EventShares, measure_length, measure_rate
from orchestrator.core.structs import Struct, field

_MIN_POOL: Final = 2
_Value = TypeVar("_Value")


class BehaviourProfile(Struct, frozen=True, kw_only=True):
    """What is known of the answers of every comparable account, each by account and probe."""

    scores: Mapping[str, Mapping[str, float]]  # empty without reference answers
    rates: Mapping[MeasurementKind, Mapping[str, EventShares]]
    lengths: Mapping[str, Mapping[str, float]]
    quality_margins: Mapping[str, float]  # by account, because it depends on the base model
    rate_margin: float
    likelihoods: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict
    )  # empty unless all accounts have them
    likelihood_margin: float = 0.0


def measure_behaviour(profile: BehaviourProfile, suspects: Set[str]) -> dict[str, list[Measurement]]:
    """Return the measurements of each account. `suspects` are the accounts that stand out by distance."""
    accounts = list(profile.lengths)
    removed = set(suspects)
    if len(accounts) - len(removed) < _MIN_POOL:
        removed = set()
    while True:
        pool = set(accounts) - removed
        found = {account: _measure_account(profile, account, pool) for account in accounts}
        deviations = {account: _measure_deviation(found[account]) for account in accounts if account in pool}
        most = max(deviations, key=lambda account: deviations[account])
        if deviations[most] == 0 or len(pool) <= _MIN_POOL:
            return found
        removed.add(most)


def _measure_deviation(measurements: list[Measurement]) -> float:
    """Return the largest certain difference, in margins; 0 if there is none."""
    different = [each for each in measurements if each.conclusion is Conclusion.DIFFERENT]
    return max((abs(each.interval.estimate) / each.margin for each in different), default=0.0)


def _measure_account(profile: BehaviourProfile, account: str, pool: Set[str]) -> list[Measurement]:
    # Rates come first, because they explain a lower quality, and the first reason is the headline.
    found = [
        measure_rate(_select(shares, account, pool), account, kind, margin=profile.rate_margin, tail=TAIL)
        for kind, shares in profile.rates.items()
    ]
    if profile.scores:
        scores = _select(profile.scores, account, pool)
        found.append(_measure_scores(MeasurementKind.QUALITY, scores, account, profile.quality_margins[account]))
    if profile.likelihoods:
        likelihoods = _select(profile.likelihoods, account, pool)
        found.append(_measure_scores(MeasurementKind.LIKELIHOOD, likelihoods, account, profile.likelihood_margin))
    found.append(measure_length(_select(profile.lengths, account, pool), account, tail=TAIL))
    return found


def _select(values: Mapping[str, _Value], account: str, pool: Set[str]) -> dict[str, _Value]:
    return {name: value for name, value in values.items() if name == account or name in pool}


def _measure_scores(
    kind: MeasurementKind, scores: Mapping[str, Mapping[str, float]], account: str, margin: float
) -> Measurement:
    # Intervals are of values in -1 to 1: a log-probability that differs by more counts as 1.
    differences = {
        probe_id: min(max(value, -1.0), 1.0) for probe_id, value in list_score_differences(scores, account).items()
    }
    interval = estimate_mean(list(differences.values()), tail=TAIL)
    own = fmean(scores[account][probe_id] for probe_id in differences) if differences else None
    return Measurement(
        kind=kind,
        interval=interval,
        margin=margin,
        conclusion=conclude(interval, margin),
        own=own,
        others=own - interval.estimate if own is not None else None,
        probe_ids=list_top_probes(differences, interval.estimate),
    )
