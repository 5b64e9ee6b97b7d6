"""Verdicts over invented worlds with a known truth: false alarms and detection, with fixed seeds.

The benchmark of the issue measures more worlds; these are few and fast, and hold the limits that must not be lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product

import pytest
from comparison_worlds import World, create_input

from orchestrator.core.comparison.answer import AnswerRound
from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.comparator import ComparisonResult, compare_models
from orchestrator.core.comparison.measurement import Conclusion, MeasurementKind
from orchestrator.core.comparison.quality import AnswerScorer
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonVerdict
from orchestrator.core.structs import replace

ALIKE, DIFFERENT = ComparisonVerdict.ALIKE, ComparisonVerdict.DIFFERENT
NOT_SURE, NOT_COMPARABLE = ComparisonVerdict.NOT_SURE, ComparisonVerdict.NOT_COMPARABLE
WORLDS = 12


@cache  # several tests judge the same worlds
def compare_world(world: World) -> ComparisonResult:
    return compare_models(create_input(world))


def count_last_verdicts(world: World) -> Counter[ComparisonVerdict]:
    results = [compare_world(replace(world, seed=seed)) for seed in range(WORLDS)]
    return Counter(result.gate.verdicts[-1].verdict for result in results)


def get_conclusion(verdict: AccountVerdict, kind: MeasurementKind) -> Conclusion:
    return next(each.conclusion for each in verdict.measurements if each.kind is kind)


@pytest.mark.parametrize("accounts", [2, 3, 5])
@pytest.mark.parametrize(("probes", "variation"), [(60, 0.05), (60, 0.3), (120, 0.15)])
def test_no_account_of_an_equal_world_is_called_different(accounts: int, probes: int, variation: float) -> None:
    for seed in range(4):
        result = compare_world(World(seed=seed, accounts=accounts, probes=probes, variation=variation))
        assert {each.verdict for each in result.gate.verdicts} <= {ALIKE, NOT_SURE}
        assert result.gate.exit_code == 0


@pytest.mark.parametrize("accounts", [2, 3, 10])
def test_language_is_no_reason_in_a_world_without_wrong_ones(accounts: int) -> None:
    for seed in range(3):
        verdicts = compare_world(World(seed=seed, accounts=accounts, other_language=0.0)).gate.verdicts
        assert {each.verdict for each in verdicts} <= {ALIKE, NOT_SURE}
        kinds = {one.kind for each in verdicts for one in each.measurements}
        assert MeasurementKind.WRONG_LANGUAGE not in kinds


@pytest.mark.parametrize("accounts", [2, 3, 5])
def test_most_accounts_of_an_equal_world_are_called_alike(accounts: int) -> None:
    verdicts: Counter[ComparisonVerdict] = Counter()
    for seed in range(WORLDS):
        result = compare_world(World(seed=seed, accounts=accounts))
        verdicts.update(each.verdict for each in result.gate.verdicts)
    assert verdicts[ALIKE] / verdicts.total() >= 0.8


@pytest.mark.parametrize(
    ("accounts", "probes", "changed", "detected"),
    # At least the rates of the design: with 60 and 120 probes, 40 and 56 % of three accounts, 54 and 76 % of five.
    [
        (3, 60, 0.4, 0.40),
        (3, 120, 0.4, 0.56),
        (5, 60, 0.4, 0.54),
        (5, 120, 0.4, 0.76),
        (3, 60, 0.7, 0.96),
        (5, 60, 0.7, 0.99),
    ],
)
def test_account_with_changed_answers_is_detected(
    accounts: int, probes: int, changed: float, detected: float
) -> None:
    verdicts = count_last_verdicts(World(seed=0, accounts=accounts, probes=probes, changed=changed))
    assert verdicts[DIFFERENT] / WORLDS >= detected


@pytest.mark.parametrize(
    ("accounts", "probes", "variation"),
    [
        *product((2, 3, 5), (15,), (0.0, 0.15)),
        *product((2, 3, 5), (60,), (0.0, 0.5)),
        *product((2, 3, 5), (30,), (0.15,)),
        (10, 15, 0.15),
        (10, 60, 0.15),
        (3, 120, 0.15),
    ],
)
def test_account_with_forty_percent_changed_answers_is_never_called_alike(
    accounts: int, probes: int, variation: float
) -> None:
    world = World(seed=0, accounts=accounts, probes=probes, changed=0.4, variation=variation)
    verdicts = count_last_verdicts(world)
    assert verdicts[ALIKE] == 0
    assert probes > 15 or verdicts[NOT_SURE] > 0  # few probes are a doubt, not an agreement


def test_few_probes_are_not_sure_and_name_the_number_that_decides() -> None:
    verdict = compare_world(World(seed=1, accounts=3, probes=15)).gate.verdicts[0]
    assert verdict.verdict is NOT_SURE
    assert verdict.needed_probes is not None
    assert verdict.needed_probes > 15
    assert "too few probes" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("world", "kind", "sentence"),
    [
        (World(seed=3, refused=0.3), MeasurementKind.REFUSED, "refuses"),
        (World(seed=3, filtered=0.3), MeasurementKind.FILTERED, "is filtered in"),
        (World(seed=3, other_language=0.3), MeasurementKind.WRONG_LANGUAGE, "answers "),
        (World(seed=3, wrong=0.6), MeasurementKind.QUALITY, "scores"),
        (World(seed=3, changed=0.7), MeasurementKind.DISTANCE, "stands out"),
    ],
)
def test_different_account_has_the_right_reason(world: World, kind: MeasurementKind, sentence: str) -> None:
    result = compare_world(world)
    verdict = result.gate.verdicts[-1]
    assert verdict.verdict is DIFFERENT
    assert get_conclusion(verdict, kind) is Conclusion.DIFFERENT
    assert any(reason.startswith(sentence) for reason in verdict.reasons)
    assert all(len(each.probe_ids) == 3 for each in verdict.decisive)
    assert f"{verdict.account} {verdict.reasons[0]}" in result.gate.format_sentence()
    assert result.gate.exit_code == 1


@pytest.mark.parametrize(
    ("world", "obstacle"),
    [
        (World(seed=4, added_prompt_tokens=12), Obstacle.PROMPT_TOKENS),
        (World(seed=4, serving="base-2 fp8"), Obstacle.SERVING),
        (World(seed=4, errors=0.2), Obstacle.ERRORS),
        (World(seed=4, errors=1.0), Obstacle.NO_ANSWERS),
    ],
)
def test_account_that_is_not_comparable_is_left_out_of_the_comparison(world: World, obstacle: Obstacle) -> None:
    result = compare_world(world)
    *others, last = result.gate.verdicts
    assert (last.verdict, last.obstacle, last.measurements) == (NOT_COMPARABLE, obstacle, ())
    assert {each.verdict for each in others} <= {ALIKE, NOT_SURE}
    assert last.account not in result.groups[0].accounts
    assert last.account not in result.gate.passing_accounts


def test_without_a_majority_no_account_is_comparable() -> None:
    result = compare_world(World(seed=4, accounts=2, added_prompt_tokens=12))
    assert [each.verdict for each in result.gate.verdicts] == [NOT_COMPARABLE] * 2


def test_unsteady_account_is_not_called_alike() -> None:
    verdict = compare_world(World(seed=5, accounts=5, unsteady=0.95)).gate.verdicts[-1]
    assert verdict.is_unsteady
    assert verdict.verdict in {NOT_SURE, DIFFERENT}
    assert "between two rounds" in verdict.reasons[-1]


def test_yardsticks_are_in_their_order() -> None:
    result = compare_world(World(seed=6))
    (group,) = result.groups
    assert group.ceiling is not None
    assert group.relative_spread is not None
    assert 0 <= group.floor < group.spread < group.ceiling <= 1
    assert 0 < group.relative_spread < 0.5
    assert len(result.distances) == 10


def test_single_account_is_not_sure_and_no_account_is_no_error() -> None:
    (only,) = compare_world(World(seed=1, accounts=1)).gate.verdicts
    assert (only.verdict, only.is_alone) == (NOT_SURE, True)
    empty = compare_models(replace(create_input(World(seed=1)), models=[]))
    assert (empty.gate.verdicts, empty.groups, empty.gate.exit_code) == ((), (), 0)


def test_same_answers_give_the_same_result() -> None:
    world = World(seed=7, accounts=3, changed=0.2)
    assert compare_models(create_input(world)) == compare_models(create_input(world))


def test_base_model_is_scored_once_for_all_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    score_rounds = AnswerScorer.score_rounds

    def count(scorer: AnswerScorer, rounds: Sequence[AnswerRound], references: Mapping[str, str]) -> dict[str, float]:
        scored.append(len(rounds))
        return score_rounds(scorer, rounds, references)

    monkeypatch.setattr(AnswerScorer, "score_rounds", count)
    compare_models(create_input(World(seed=1, accounts=4, probes=15)))
    assert sorted(scored) == [1, 2, 2, 2, 2]  # the base model has one round, each account two


@pytest.mark.parametrize("accounts", [3, 4, 10])
def test_deviating_account_does_not_make_the_others_different(accounts: int) -> None:
    result = compare_world(World(seed=3, accounts=accounts, refused=0.5))
    *others, last = result.gate.verdicts
    assert last.verdict is DIFFERENT
    assert DIFFERENT not in {each.verdict for each in others}


def test_distance_of_the_others_does_not_include_the_account_that_stands_out() -> None:
    result = compare_world(World(seed=3, accounts=4, changed=0.7))
    measured = next(each for each in result.gate.verdicts[-1].decisive if each.kind is MeasurementKind.DISTANCE)
    last = result.gate.verdicts[-1].account
    among_others = [value for pair, value in result.distances.items() if last not in pair]
    assert measured.others == pytest.approx(sum(among_others) / 3)


def test_two_accounts_that_differ_are_both_different() -> None:
    result = compare_world(World(seed=3, accounts=2, refused=0.5))
    assert [each.verdict for each in result.gate.verdicts] == [DIFFERENT, DIFFERENT]


def test_accepted_account_passes_the_gate() -> None:
    gate = compare_world(World(seed=3, accounts=3, refused=0.5)).gate
    *others, last = gate.verdicts
    assert not gate.is_passed
    accepted = replace(gate, verdicts=(*others, replace(last, accepted_by="ann")))
    assert accepted.is_passed
    assert last.account in accepted.passing_accounts
