"""The distances between all models of one group, probe by probe.

Every probe has one value for each pair of models: the mean over the pairs of rounds. The table also holds the *floor*
of each model (its distance to itself between rounds, which is serving noise), and the *ceiling* (its distance to the
untuned base model). It exists twice: with distances, and with the share of changed answers, which does not depend on
how much of a text a change affects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean, median

from orchestrator.core.comparison.answer import AnswerRound, ModelAnswers
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.probe_column import ProbeColumn, ProbeDistance
from orchestrator.core.structs import Struct, field

ProbeValues = Sequence[float | None]
"""One value for each probe, in the order of the probes; None where an answer is missing."""


class DistanceTable(Struct):
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


class GroupDistances(Struct, frozen=True):
    """Both tables of one group."""

    distances: DistanceTable
    changes: DistanceTable  # shares of changed answers instead of distances
    explained: float | None  # R²: share of the squared distances that the account explains; None: all answers equal


def mean_known(values: ProbeValues) -> float:
    """Return the mean of the known values, 0 if there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0


def build_group_distances(
    probe_ids: Sequence[str], models: Sequence[ModelAnswers], base: AnswerRound | None, measure: DistanceMeasure
) -> GroupDistances:
    """Measure every pair of models, each model between its rounds, and each model against the base model."""
    accounts = [model.account for model in models]
    distances, changes = DistanceTable(probe_ids, accounts), DistanceTable(probe_ids, accounts)
    within = between = 0.0  # sums of squared distances
    pairs = list(combinations(range(len(models)), 2))
    floors: list[list[ProbeDistance]] = [[] for _ in models]
    ceilings: list[list[ProbeDistance]] = [[] for _ in models]
    betweens: list[list[ProbeDistance]] = [[] for _ in pairs]
    for probe_id in probe_ids:
        column = ProbeColumn(
            [[each.get(probe_id) for each in model.rounds] for model in models],
            base.get(probe_id) if base is not None else None,
            measure,
        )
        for number in range(len(models)):
            floors[number].append(column.measure_floor(number))
            ceilings[number].append(column.measure_base(number))
        for row, (one, other) in zip(betweens, pairs, strict=True):
            row.append(column.measure_pair(one, other))
    for model, floor, ceiling in zip(models, floors, ceilings, strict=True):
        account = model.account
        if len(model.rounds) > 1:
            distances.floors[account], changes.floors[account] = _split_row(floor)
            within += _sum_squares(floor)
        if base is not None:
            distances.ceilings[account], changes.ceilings[account] = _split_row(ceiling)
    for row, (one, other) in zip(betweens, pairs, strict=True):
        key = accounts[one], accounts[other]
        distances.pairs[key], changes.pairs[key] = _split_row(row)
        between += _sum_squares(row)
    return GroupDistances(distances, changes, _explain_variation(within, between, models))


def _split_row(row: Sequence[ProbeDistance]) -> tuple[ProbeValues, ProbeValues]:
    """Return the distances and the shares of changed answers of one row of the tables."""
    return [each.mean for each in row], [each.changed for each in row]


def _sum_squares(row: Sequence[ProbeDistance]) -> float:
    total = 0.0
    for each in row:
        total += each.squares  # not `sum`, which since Python 3.12 rounds in another way than 3.11
    return total


def _explain_variation(within: float, between: float, models: Sequence[ModelAnswers]) -> float | None:
    """Return 1 - SS within / SS total, as in an analysis of variance of distances with two rounds by account."""
    if not within + between or any(len(model.rounds) != 2 for model in models):
        return None
    total = (within + between) / (2 * len(models))
    return 1 - (within / 2) / total


def list_probe_excess(table: DistanceTable) -> Mapping[str, ProbeValues]:
    """Return, by account and probe, how much farther it is from the others than they are from each other.

    Needs at least three accounts. The value is None where the account, or two others, have no answer. One pass over
    the pairs serves all accounts, because there are 4,950 pairs of 100 accounts.
    """
    excess: list[list[float | None]] = [[] for _ in table.accounts]
    size = len(table.accounts)
    positions = {account: position for position, account in enumerate(table.accounts)}
    pairs = [(positions[one], positions[other]) for one, other in table.pairs]
    for values in zip(*table.pairs.values(), strict=True):  # of one probe
        sums, counts = [0.0] * size, [0] * size
        total, known_pairs = 0.0, 0
        for (one, other), value in zip(pairs, values, strict=True):
            if value is not None:
                sums[one] += value
                sums[other] += value
                counts[one] += 1
                counts[other] += 1
                total += value
                known_pairs += 1
        for result, own_sum, own in zip(excess, sums, counts, strict=True):
            among_others = known_pairs - own
            known = own > 0 and among_others > 0
            result.append(own_sum / own - (total - own_sum) / among_others if known else None)
    return dict(zip(table.accounts, excess, strict=True))


def list_own_distances(table: DistanceTable) -> Mapping[str, float]:
    """Return the mean distance of each account to the others."""
    means: dict[str, list[float]] = {account: [] for account in table.accounts}
    for (one, other), values in table.pairs.items():
        mean = mean_known(values)
        means[one].append(mean)
        means[other].append(mean)
    return {account: fmean(each) for account, each in means.items()}
