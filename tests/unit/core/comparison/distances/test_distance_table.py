"""The tables of distances, which are computed with shortcuts, equal their plain definition to the last bit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, product

import pytest
from comparison_worlds import World, create_input

from orchestrator.core.comparison.answer import TEXT_OUTCOMES, AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.distance_table import (
    GroupDistances,
    build_group_distances,
    list_own_distances,
    list_probe_excess,
    mean_known,
)
from orchestrator.core.structs import replace

Answers = Sequence[tuple[ModelAnswer | None, ModelAnswer | None]]


def measure_plainly(one: ModelAnswer, other: ModelAnswer) -> float | None:
    if AnswerOutcome.ERROR in (one.outcome, other.outcome):
        return None
    if not (one.outcome in TEXT_OUTCOMES and other.outcome in TEXT_OUTCOMES):
        return float(one.outcome is not other.outcome)
    left, right = (
        Counter(text[start : start + 3] for start in range(len(text) - 2))
        for text in (f"\0\0{each.text.strip()}\0\0" for each in (one, other))
    )
    return 1 - 2 * (left & right).total() / (left.total() + right.total())


def summarise_plainly(answers: Answers) -> tuple[float | None, float | None]:
    measured = [measure_plainly(one, other) for one, other in answers if one and other]
    known = [each for each in measured if each is not None]
    if not known:
        return None, None
    return sum(known) / len(known), sum(each > 0.1 for each in known) / len(known)


def list_pair_answers(one: ModelAnswers, other: ModelAnswers, probe_id: str) -> Answers:
    return [(left.get(probe_id), right.get(probe_id)) for left, right in product(one.rounds, other.rounds)]


def exclude_from(given: ComparisonInput, probe_id: str, account: int) -> ComparisonInput:
    """Return the input without the answers of an account to a probe, as if it had not been asked."""
    models = list(given.models)
    rounds = [{key: each for key, each in answers.items() if key != probe_id} for answers in models[account].rounds]
    models[account] = replace(models[account], rounds=rounds)
    return replace(given, models=models)


def build_tables(given: ComparisonInput) -> GroupDistances:
    return build_group_distances(given.probe_ids, given.models, given.bases.get("openai gpt"), DistanceMeasure.TEXT)


@pytest.mark.parametrize(
    "world",
    [
        World(seed=1, accounts=4, probes=15, changed=0.4),
        World(seed=2, accounts=3, probes=15, variation=0.9, noise=0.5),
        World(seed=3, accounts=5, probes=15, refused=0.3, filtered=0.3, errors=0.3),
        World(seed=4, accounts=2, probes=15, variation=0, noise=0),
    ],
)
def test_tables_equal_their_plain_definition(world: World) -> None:
    given = exclude_from(create_input(world), "p0003", 1)
    tables, base = build_tables(given), given.bases["openai gpt"]
    for index, probe_id in enumerate(given.probe_ids):
        for one, other in combinations(given.models, 2):
            plain = summarise_plainly(list_pair_answers(one, other, probe_id))
            pair = one.account, other.account
            assert (tables.distances.pairs[pair][index], tables.changes.pairs[pair][index]) == plain
        for model in given.models:
            rounds = [each.get(probe_id) for each in model.rounds]
            name = model.account
            floor = summarise_plainly([(rounds[0], rounds[1])])
            assert (tables.distances.floors[name][index], tables.changes.floors[name][index]) == floor
            ceiling = summarise_plainly([(each, base[probe_id]) for each in rounds])
            assert (tables.distances.ceilings[name][index], tables.changes.ceilings[name][index]) == ceiling


def test_excess_and_own_distance_equal_their_plain_definition() -> None:
    given = exclude_from(create_input(World(seed=3, accounts=5, probes=20, changed=0.4, errors=0.5)), "p0003", 0)
    table = build_tables(given).distances
    excess, own = list_probe_excess(table), list_own_distances(table)
    for account in table.accounts:
        mine = [pair for pair in table.pairs if account in pair]
        assert own[account] == pytest.approx(sum(mean_known(table.pairs[pair]) for pair in mine) / len(mine))
        for index in range(len(table.probe_ids)):
            to_others = [value for pair in mine if (value := table.pairs[pair][index]) is not None]
            among_others = [
                value
                for pair, values in table.pairs.items()
                if account not in pair and (value := values[index]) is not None
            ]
            if to_others and among_others:
                expected = sum(to_others) / len(to_others) - sum(among_others) / len(among_others)
                assert excess[account][index] == pytest.approx(expected)
            else:
                assert excess[account][index] is None


def test_documents_are_compared_by_their_values() -> None:
    answers = [json.dumps({"a": 1, "b": value}) for value in (1, 2, 2)]
    models = [
        ModelAnswers(
            account=f"account-{number}",
            group="openai gpt",
            rounds=[{"p": ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text)}],
        )
        for number, text in enumerate(answers)
    ]
    pairs = build_group_distances(["p"], models, None, DistanceMeasure.FIELD).distances.pairs
    assert list(pairs.values()) == [[0.5], [0.5], [0.0]]
