from __future__ import annotations

import itertools
import random

from orchestrator.web.dashboard.comparisons.distance_order import order_accounts


def distances_of(places: dict[str, float]) -> dict[tuple[str, str], float]:
    return {(one, other): abs(places[one] - places[other]) for one, other in itertools.combinations(places, 2)}


def test_groups_are_adjacent_and_the_outlier_is_last() -> None:
    places = {"d": 0.5, "a": 0.0, "outlier": 0.95, "e": 0.51, "b": 0.01, "c": 0.02}
    assert order_accounts(list(places), distances_of(places)) == ("a", "b", "c", "d", "e", "outlier")


def test_order_depends_on_the_distances_only() -> None:
    generator = random.Random(3)
    places = {f"account-{number:02}": generator.random() for number in range(20)}
    expected = order_accounts(list(places), distances_of(places))
    assert sorted(expected) == sorted(places)
    shuffled = generator.sample(list(places), len(places))
    swapped = {(other, one): value for (one, other), value in distances_of(places).items()}
    assert order_accounts(shuffled, swapped) == expected


def test_unknown_distance_counts_as_far() -> None:
    assert order_accounts(["a", "b", "c"], {("a", "c"): 0.1}) == ("a", "c", "b")
    assert order_accounts([], {}) == ()
    assert order_accounts(["a"], {}) == ("a",)
