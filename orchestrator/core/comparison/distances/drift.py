"""Whether a model has changed since it was asked the same probes before.

Two fine-tunes are never equal, but one fine-tune should equal itself. So here, and only here, the test is one for
equality: if nothing changed, an answer of today could as well be an old one, and exchanging them changes nothing.
The energy distance of the old and the new answers is added over the probes, and compared with its values after the
answers of each probe were exchanged at random. What serving noise does is in both, so it is no change.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import combinations, product
from statistics import fmean
from typing import Final

from orchestrator.core.comparison.answer import AnswerOutcome, AnswerRound, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure, DistanceMeter
from orchestrator.core.comparison.measurement import list_top_probes
from orchestrator.core.structs import Struct

DRIFT_LEVEL: Final = 0.01  # chance that any of the unchanged models is called changed
_MIN_DRAWS: Final = 999
_DRAWS_BEYOND_LEVEL: Final = 10  # draws expected below the smallest level that is tested: fewer would decide by luck
_MAX_EXCEEDANCES: Final = 50  # then the p-value is known well enough, and drawing ends
_MAX_ENUMERATED_EXCHANGES: Final = 10_000  # of all probes together: all four answers of five probes
_MAX_SPLITS: Final = 300  # of the answers of one probe into old and new ones; more than five a side are drawn
_TOLERANCE: Final = 1e-9  # of sums of the same numbers in another order
_SEED: Final = 20_261_129


class DriftConclusion(StrEnum):
    """What is known of one model. These values are stored and are part of the API."""

    CHANGED = "changed"
    NO_CHANGE_FOUND = "no_change_found"
    TOO_FEW_PROBES = "too_few_probes"  # with so few probes no change could be shown


class DriftMeasurement(Struct, frozen=True, kw_only=True):
    """The change of one model between two askings."""

    account: str
    conclusion: DriftConclusion
    p_value: float
    distance: float  # energy distance of old and new answers, as a mean over the probes; 0: no difference
    probes: int  # that were answered both times
    probe_ids: tuple[str, ...] = ()  # at most three, which show it best


class _ProbeSplits(Struct, frozen=True):
    """The energy distances of one probe: as it was observed, and for every exchange of its answers."""

    observed: float
    possible: tuple[float, ...]  # one value if all answers are equal
    count: int  # of the exchanges


def measure_drift(
    old: Mapping[str, Sequence[AnswerRound]],
    new: Mapping[str, Sequence[AnswerRound]],
    probe_ids: Sequence[str],
    measure: DistanceMeasure,
) -> list[DriftMeasurement]:
    """Compare the answers of each account with its earlier ones. Accounts that were not asked before are left out.

    The level is corrected for the number of accounts by Holm's method: of 100 unchanged models none should be called
    changed.
    """
    accounts = [account for account in new if account in old]
    draws = max(_MIN_DRAWS, math.ceil(_DRAWS_BEYOND_LEVEL * len(accounts) / DRIFT_LEVEL))
    meters = {probe_id: DistanceMeter(measure) for probe_id in probe_ids}
    splits = {account: _list_splits(old[account], new[account], meters) for account in accounts}
    p_values = {account: _calculate_p_value(list(splits[account].values()), draws) for account in accounts}
    changed = list_rejected(p_values, DRIFT_LEVEL)
    smallest_level = DRIFT_LEVEL / max(len(accounts), 1)
    return [
        DriftMeasurement(
            account=account,
            conclusion=_conclude(account in changed, list(splits[account].values()), smallest_level),
            p_value=p_values[account],
            distance=fmean(each.observed for each in splits[account].values()) if splits[account] else 0.0,
            probes=len(splits[account]),
            probe_ids=list_top_probes({key: each.observed for key, each in splits[account].items()}, 1.0),
        )
        for account in accounts
    ]


def list_rejected(p_values: Mapping[str, float], level: float) -> set[str]:
    """List the hypotheses that Holm's method rejects, with `level` for all of them together."""
    rejected = set()
    for tested, (p_value, name) in enumerate(sorted((value, name) for name, value in p_values.items())):
        if p_value > level / (len(p_values) - tested):
            break
        rejected.add(name)
    return rejected


def _conclude(is_changed: bool, splits: Sequence[_ProbeSplits], level: float) -> DriftConclusion:
    if is_changed:
        return DriftConclusion.CHANGED
    # If every answer had changed, only the observed split of each probe, and its mirror, would be as far apart.
    smallest = math.prod(2 / each.count for each in splits)
    return DriftConclusion.NO_CHANGE_FOUND if smallest <= level else DriftConclusion.TOO_FEW_PROBES


def _list_splits(
    old: Sequence[AnswerRound], new: Sequence[AnswerRound], meters: Mapping[str, DistanceMeter]
) -> dict[str, _ProbeSplits]:
    """Return the splits of each probe that has an answer on both sides."""
    found = {}
    for probe_id, meter in meters.items():
        before, after = _select_answers(old, probe_id), _select_answers(new, probe_id)
        if before and after and len(before) + len(after) > 2:
            found[probe_id] = _measure_splits(before, after, meter)
    return found


def _select_answers(rounds: Sequence[AnswerRound], probe_id: str) -> list[ModelAnswer]:
    answers = [each[probe_id] for each in rounds if probe_id in each]
    return [answer for answer in answers if answer.outcome is not AnswerOutcome.ERROR]


def _measure_splits(
    before: Sequence[ModelAnswer], after: Sequence[ModelAnswer], meter: DistanceMeter
) -> _ProbeSplits:
    answers = [*before, *after]
    distances = [[meter.measure_answers(one, other) or 0.0 for other in answers] for one in answers]
    everything = range(len(answers))
    count = math.comb(len(answers), len(before))
    if not any(map(any, distances)):
        return _ProbeSplits(0.0, (0.0,), count)
    if count <= _MAX_SPLITS:
        chosen = list(combinations(everything, len(before)))
    else:
        generator = random.Random(_SEED)
        drawn = [tuple(generator.sample(everything, len(before))) for _ in range(_MAX_SPLITS - 1)]
        chosen = [tuple(range(len(before))), *drawn]  # with the observed one, so that a p-value is never zero
    possible = tuple(_measure_energy(distances, each) for each in chosen)
    return _ProbeSplits(_measure_energy(distances, range(len(before))), possible, count)


def _measure_energy(distances: Sequence[Sequence[float]], before: Sequence[int]) -> float:
    """Return 2 · the mean distance between both sides - the mean distances within each side."""
    after = [number for number in range(len(distances)) if number not in before]
    between = fmean(distances[one][other] for one in before for other in after)
    return 2 * between - _measure_within(distances, before) - _measure_within(distances, after)


def _measure_within(distances: Sequence[Sequence[float]], side: Sequence[int]) -> float:
    pairs = [distances[one][other] for one, other in combinations(side, 2)]
    return fmean(pairs) if pairs else 0.0


def _calculate_p_value(splits: Sequence[_ProbeSplits], draws: int) -> float:
    """Return how often exchanged answers are as far apart as the observed ones, of all exchanges or of `draws` ones.

    If few probes vary, all exchanges are counted: five changed probes are just enough for a change, and the luck of
    the draw would decide. Drawing ends early where the observed value is nothing unusual (Besag and Clifford, 1991).
    The observed value counts as one of the draws, so the result is never zero.
    """
    varying = [each.possible for each in splits if len(each.possible) > 1]
    limit = sum(each.observed for each in splits if len(each.possible) > 1) - _TOLERANCE
    exchanges = math.prod(map(len, varying))
    if exchanges <= _MAX_ENUMERATED_EXCHANGES:
        return sum(sum(values) >= limit for values in product(*varying)) / exchanges
    generator = random.Random(_SEED)
    exceedances = 0
    for drawn in range(1, draws + 1):
        value = sum(each[int(generator.random() * len(each))] for each in varying)
        exceedances += value >= limit
        if exceedances == _MAX_EXCEEDANCES:
            return exceedances / drawn
    return (exceedances + 1) / (draws + 1)
