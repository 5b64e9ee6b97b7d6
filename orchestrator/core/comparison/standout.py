"""Whether an account is farther from the others than they are from each other.

Training varies, so any two models differ; how much is shown by the other accounts. An account stands out only if its
distance exceeds theirs. It is alike only if a large excess is excluded, in distances and in changed answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from orchestrator.core.comparison.distances.distance_table import (
    DistanceTable,
    GroupDistances,
    ProbeValues,
    list_own_distances,
    list_probe_excess,
)
from orchestrator.core.comparison.interval import estimate_mean
from orchestrator.core.comparison.measurement import (
    TAIL,
    ComparisonMargins,
    Conclusion,
    Measurement,
    MeasurementKind,
    list_top_probes,
)

_MAX_CHANGED_STABLE_SHARE: Final = 0.25  # of the answers on which the others agree
_MIN_STABLE_SHARE: Final = 0.1


def measure_group_distances(group: GroupDistances, margins: ComparisonMargins) -> dict[str, list[Measurement]]:
    """Return the measurements of distance of each account of a group; a group of one has none."""
    accounts = group.distances.accounts
    if len(accounts) < 2:
        return {}
    if len(accounts) == 2:
        pair = _measure_pair(group.changes, margins.pair)
        return {account: [pair] for account in accounts}
    distances, changes = list_probe_excess(group.distances), list_probe_excess(group.changes)
    own_distances, own_changes = list_own_distances(group.distances), list_own_distances(group.changes)
    return {
        account: [
            _measure_standout(group.distances, own_distances[account], distances[account], margins),
            *_measure_excess_change(group.changes, own_changes[account], changes[account], margins.changed),
        ]
        for account in accounts
    }


def _measure_standout(
    table: DistanceTable, own: float, values: ProbeValues, margins: ComparisonMargins
) -> Measurement:
    """Decide whether an account is farther from the others than they are from each other.

    The lower bound is corrected for the number of accounts, because every account is tested: without it, one of 100
    equal accounts would nearly always stand out. The upper bound is not: it guards against a false "alike".
    """
    known = _select_known(table.probe_ids, values)
    corrected = estimate_mean(list(known.values()), tail=TAIL / len(table.accounts))
    interval = estimate_mean(list(known.values()), tail=TAIL)
    conclusion = Conclusion.SAME if interval.high <= margins.distance else Conclusion.UNSURE
    if corrected.low > margins.standout:
        interval, conclusion = corrected, Conclusion.DIFFERENT
    return Measurement(
        kind=MeasurementKind.DISTANCE,
        interval=interval,
        margin=margins.distance if conclusion is not Conclusion.DIFFERENT else margins.standout,
        conclusion=conclusion,
        own=own,
        others=max(own - interval.estimate, 0.0),
        probe_ids=list_top_probes(known, 1.0),
    )


def _measure_excess_change(table: DistanceTable, own: float, values: ProbeValues, margin: float) -> list[Measurement]:
    """Decide whether an account certainly has not many more changed answers than the others.

    The margin shrinks with the share of the answers on which the others agree, because only these can be changed:
    where training leaves half of the answers to chance, a fixed margin would call an account alike that changed 40 %
    of the rest. Where the others agree on almost nothing, as in free writing, nothing is measured, and the distance
    decides alone. A high share is never called a difference: it depends on where "changed" begins.
    """
    known = _select_known(table.probe_ids, values)
    interval = estimate_mean(list(known.values()), tail=TAIL)
    stable = 1 - max(own - interval.estimate, 0.0)
    if stable < _MIN_STABLE_SHARE:
        return []
    margin = min(margin, _MAX_CHANGED_STABLE_SHARE * stable)
    return [
        Measurement(
            kind=MeasurementKind.CHANGED,
            interval=interval,
            margin=margin,
            conclusion=Conclusion.SAME if interval.high <= margin else Conclusion.UNSURE,
            probe_ids=list_top_probes(known, 1.0),
        )
    ]


def _measure_pair(table: DistanceTable, margin: float) -> Measurement:
    """Decide whether two accounts certainly differ in few answers, beyond what each differs from itself.

    With two accounts nothing tells which of them is unusual, and nothing tells the variation of training from an
    outlier, so the share of differing answers must be small, and it alone never makes them different.
    """
    one, other = table.accounts
    floors = [dict(zip(table.probe_ids, each, strict=True)) for each in table.floors.values()]
    values = _select_known(table.probe_ids, table.get_pair(one, other))
    excess = {
        probe_id: value - fmean([floor[probe_id] or 0.0 for floor in floors] or [0.0])
        for probe_id, value in values.items()
    }
    interval = estimate_mean(list(excess.values()), tail=TAIL)
    return Measurement(
        kind=MeasurementKind.PAIR,
        interval=interval,
        margin=margin,
        conclusion=Conclusion.SAME if interval.high <= margin else Conclusion.UNSURE,
        probe_ids=list_top_probes(excess, 1.0),
    )


def _select_known(probe_ids: Sequence[str], values: ProbeValues) -> dict[str, float]:
    return {probe_id: value for probe_id, value in zip(probe_ids, values, strict=True) if value is not None}
