"""The distances between all models of one group, probe by probe.

Every probe has one value for each pair of models: the mean over the pairs of rounds. The table also holds the *floor*
of each model (its distance to itself between rounds, which is serving noise), and the *ceiling* (its distance to the
untuned base model). It exists twice: with distances, and with the share of changed answers, which does not depend on
how much of a text a change affects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean, median
from typing import Final

from orchestrator.core.comparison.answer import AnswerRound, ModelAnswers
from orchestrator.core.comparison.distance import DistanceMeter

CHANGED_DISTANCE: Final = 0.1  # beyond it, an answer counts as changed: more than a comma or a blank

ProbeValues = Sequence[float | None]
"""One value for each probe, in the order of the probes; None where an answer is missing."""


@dataclass(slots=True)
class DistanceTable:
    """Distances within one group of models, each as values by probe."""

    probe_ids: Sequence[str]
    accounts: Sequence[str]
    floors: dict[str, ProbeValues] = field(default_factory=dict)  # by account
    ceilings: dict[str, ProbeValues] = field(default_factory=dict)  # by account; empty without a base model
    pairs: dict[tuple[str, str], ProbeValues] = field(default_factory=dict)  # by both accounts, in their order

    def get_pair(self, one: str, other: str) -> ProbeValues:
        """Return the values of a pair of accounts in any order."""
        return self.pairs[one, other] if (one, other) in self.pairs else self.pairs[other, one]

    def calculate_floor(self) -> float:
        """Return the median floor of the models: how far a model is from itself."""
        return median(map(mean_known, self.floors.values())) if self.floors else 0.0

    def calculate_spread(self) -> float:
        """Return the median distance between two models."""
        return median(map(mean_known, self.pairs.values())) if self.pairs else 0.0

    def calculate_ceiling(self) -> float | None:
        """Return the median distance to the base model, or None if the base model was not compared."""
        return median(map(mean_known, self.ceilings.values())) if self.ceilings else None


@dataclass(frozen=True, slots=True)
class GroupDistances:
    """Both tables of one group."""

    distances: DistanceTable
    changes: DistanceTable  # shares of changed answers instead of distances
    explained: float | None  # R²: share of the squared distances that the account explains; None: all answers equal


def mean_known(values: ProbeValues) -> float:
    """Return the mean of the known values, 0 if there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0


def build_group_distances(
    probe_ids: Sequence[str], models: Sequence[ModelAnswers], base: AnswerRound | None, meter: DistanceMeter
) -> GroupDistances:
    """Measure every pair of models, each model between its rounds, and each model against the base model."""
    accounts = [model.account for model in models]
    distances, changes = DistanceTable(probe_ids, accounts), DistanceTable(probe_ids, accounts)
    within = between = 0.0  # sums of squared distances
    for model in models:
        account = model.account
        if len(model.rounds) > 1:
            measured = _measure_rounds(probe_ids, list(combinations(model.rounds, 2)), meter)
            distances.floors[account], changes.floors[account] = measured.distances, measured.changes
            within += measured.squares
        if base is not None:
            measured = _measure_rounds(probe_ids, [(each, base) for each in model.rounds], meter)
            distances.ceilings[account], changes.ceilings[account] = measured.distances, measured.changes
    for one, other in combinations(models, 2):
        key = one.account, other.account
        measured = _measure_rounds(probe_ids, [(left, right) for left in one.rounds for right in other.rounds], meter)
        distances.pairs[key], changes.pairs[key] = measured.distances, measured.changes
        between += measured.squares
    return GroupDistances(distances, changes, _explain_variation(within, between, models))


def _explain_variation(within: float, between: float, models: Sequence[ModelAnswers]) -> float | None:
    """Return 1 - SS within / SS total, as in an analysis of variance of distances with two rounds by account."""
    total = (within + between) / (2 * len(models)) if models else 0.0
    if not total or any(len(model.rounds) != 2 for model in models):
        return None
    return 1 - (within / 2) / total


@dataclass(frozen=True, slots=True)
class _RoundDistances:
    distances: ProbeValues
    changes: ProbeValues
    squares: float


def _measure_rounds(
    probe_ids: Sequence[str], rounds: Sequence[tuple[AnswerRound, AnswerRound]], meter: DistanceMeter
) -> _RoundDistances:
    """Return, for each probe, the mean distance and the share of changed answers over pairs of rounds."""
    distances: list[float | None] = []
    changes: list[float | None] = []
    squares = 0.0
    for probe_id in probe_ids:
        answers = [(left.get(probe_id), right.get(probe_id)) for left, right in rounds]
        measured = [meter.measure_answers(one, other) for one, other in answers if one and other]
        known = [value for value in measured if value is not None]
        distances.append(sum(known) / len(known) if known else None)
        changes.append(sum(value > CHANGED_DISTANCE for value in known) / len(known) if known else None)
        squares += sum(value * value for value in known)
    return _RoundDistances(distances, changes, squares)


def list_probe_excess(table: DistanceTable) -> Mapping[str, ProbeValues]:
    """Return, by account and probe, how much farther it is from the others than they are from each other.

    Needs at least three accounts. The value is None where the account, or two others, have no answer. One pass over
    the pairs serves all accounts, because there are 4,950 pairs of 100 accounts.
    """
    result: dict[str, list[float | None]] = {account: [] for account in table.accounts}
    for index in range(len(table.probe_ids)):
        sums = dict.fromkeys(table.accounts, 0.0)
        counts = dict.fromkeys(table.accounts, 0)
        total, pairs = 0.0, 0
        for (one, other), values in table.pairs.items():
            value = values[index]
            if value is None:
                continue
            sums[one] += value
            sums[other] += value
            counts[one] += 1
            counts[other] += 1
            total += value
            pairs += 1
        for account, values in result.items():
            own, among_others = counts[account], pairs - counts[account]
            known = own > 0 and among_others > 0
            values.append(sums[account] / own - (total - sums[account]) / among_others if known else None)
    return result
