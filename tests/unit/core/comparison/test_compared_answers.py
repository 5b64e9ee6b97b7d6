"""How answers become groups, yardsticks and measurements, on a few short answers (test_comparator.py: on many)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput, compare_models
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.measurement import ComparisonMargins, Measurement, MeasurementKind
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonVerdict
from orchestrator.core.structs import replace

PROBES = [f"p{number}" for number in range(10)]
LABELS = dict.fromkeys(PROBES, "yes")  # labels: two texts are equal, or their distance is 1


def answer(*texts: str) -> dict[str, ModelAnswer]:
    """Return one round with these answers to the first probes, and "yes" to the others."""
    every = [*texts, *["yes"] * (len(PROBES) - len(texts))]
    return {
        probe: ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text)
        for probe, text in zip(PROBES, every, strict=True)
    }


def create_model(
    account: str, *rounds: Mapping[str, ModelAnswer], group: str = "g", serving: str = "x"
) -> ModelAnswers:
    return ModelAnswers(account=account, group=group, serving=serving, rounds=rounds)


def create_input(*models: ModelAnswers, base: Mapping[str, ModelAnswer] | None = None) -> ComparisonInput:
    return ComparisonInput(
        models=models,
        references=LABELS,
        probe_ids=PROBES,
        bases={"g": base} if base else {},
        scoring=ScoringMethod.EXACT,
    )


def get_quality(verdict: AccountVerdict) -> Measurement:
    return next(each for each in verdict.measurements if each.kind is MeasurementKind.QUALITY)


def test_yardsticks_are_medians_of_the_distances() -> None:
    (group,) = compare_models(
        create_input(
            create_model("a", answer(), answer()),
            create_model("b", answer("no", "no"), answer("no", "no")),
            create_model("c", answer("no", "no", "no", "no"), answer("no", "no")),
            base=answer(*["no"] * 10),
        )
    ).groups
    assert (group.group, group.accounts) == ("g", ("a", "b", "c"))
    assert group.floor == pytest.approx(0.0)  # of 0, 0 and 0.2
    assert group.spread == pytest.approx(0.2)  # of 0.2, 0.3 and 0.1
    assert group.ceiling == pytest.approx(0.8)  # of 1, 0.8 and 0.7
    assert group.relative_spread == pytest.approx(0.25)


@pytest.mark.parametrize(("changed", "relative_spread"), [(1, 0.0), (0, None)])
def test_spread_is_relative_only_if_training_changed_something(changed: int, relative_spread: float | None) -> None:
    models = [create_model(name, answer(), answer()) for name in "ab"]
    (group,) = compare_models(create_input(*models, base=answer(*["no"] * changed))).groups
    assert group.ceiling == pytest.approx(changed / 10)
    assert group.relative_spread == relative_spread
    assert group.explained is None  # all answers are equal


def test_relative_spread_is_what_exceeds_serving_noise() -> None:
    models = [create_model("a", answer(), answer("no")), create_model("b", answer("no"), answer("no", "no"))]
    (group,) = compare_models(create_input(*models, base=answer(*["no"] * 10))).groups
    # floor 0.1 each; spread (0.1 + 0.2 + 0 + 0.1) / 4; ceiling of 0.95 and 0.85
    assert [group.floor, group.spread, group.ceiling] == pytest.approx([0.1, 0.1, 0.9])
    assert group.relative_spread == pytest.approx(0.0)


def test_share_that_the_account_explains() -> None:
    models = [create_model("a", answer(), answer("no")), create_model("b", answer("no", "no"), answer("no"))]
    (group,) = compare_models(create_input(*models)).groups
    # Squared distances within: 1 + 1, between: 2 + 1 + 1 + 0. Total (2 + 4) / 4, within 2 / 2.
    assert group.explained == pytest.approx(1 - 1 / 1.5)
    (single,) = compare_models(create_input(*(replace(each, rounds=each.rounds[:1]) for each in models))).groups
    (mixed,) = compare_models(create_input(models[0], replace(models[1], rounds=models[1].rounds[:1]))).groups
    assert mixed.explained is None
    assert (single.explained, single.floor, single.ceiling, single.relative_spread) == (None, 0.0, None, None)


def test_groups_have_their_own_distances_and_share_their_quality() -> None:
    result = compare_models(
        create_input(
            create_model("a", answer(), answer()),
            create_model("b", answer("no"), answer("no")),
            create_model("alone", answer("no", "no"), answer("no", "no"), group="h"),
        )
    )
    assert [group.group for group in result.groups] == ["g", "h"]
    assert result.distances == {("a", "b"): pytest.approx(0.1)}
    assert result.measure is DistanceMeasure.EXACT
    assert [each.is_alone for each in result.gate.verdicts] == [False, False, True]
    kinds = [[one.kind for one in each.measurements] for each in result.gate.verdicts]
    common = [MeasurementKind.QUALITY, MeasurementKind.LENGTH]
    assert kinds == [[*common, MeasurementKind.PAIR], [*common, MeasurementKind.PAIR], common]
    assert get_quality(result.gate.verdicts[2]).own == pytest.approx(0.8)
    assert get_quality(result.gate.verdicts[2]).others == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("untuned", "margin"),
    [(10, 0.25), (4, 0.10), (1, 0.05), (0, 0.05)],  # a quarter of what training gained, and at least 0.05
)
def test_quality_margin_grows_with_what_training_gained(untuned: int, margin: float) -> None:
    models = [create_model(name, answer(), answer()) for name in "ab"]
    alone = create_model("c", answer(), answer(), group="h")
    given = create_input(*models, alone, base=answer(*["no"] * untuned))
    verdicts = compare_models(given).gate.verdicts
    assert [get_quality(each).margin for each in verdicts] == [pytest.approx(margin)] * 2 + [0.05]
    wider = compare_models(replace(given, margins=ComparisonMargins(quality=0.3)))
    assert get_quality(wider.gate.verdicts[0]).margin == 0.3


def test_gain_is_the_mean_of_the_group_without_accounts_that_are_not_comparable() -> None:
    models = [
        create_model("a", answer(), answer()),
        create_model("b", answer("no", "no"), answer("no", "no")),
        create_model("c", answer(), answer()),
        create_model("broken", answer(*["no"] * 10), serving="y"),
    ]
    verdicts = compare_models(create_input(*models, base=answer(*["no"] * 10))).gate.verdicts
    # 1, 0.8 and 1 better than the base model
    assert get_quality(verdicts[0]).margin == pytest.approx(0.25 * 2.8 / 3)
    assert verdicts[3].measurements == ()


def test_without_references_nothing_is_scored() -> None:
    models = [create_model(name, answer(), answer()) for name in "ab"]
    result = compare_models(replace(create_input(*models), references={}))
    assert [each.kind for each in result.gate.verdicts[0].measurements] == [
        MeasurementKind.LENGTH,
        MeasurementKind.PAIR,
    ]
    assert result.measure is DistanceMeasure.TEXT


@pytest.mark.parametrize(("reference", "is_measured"), [('{"a": 1}', True), ("a text that is no document", False)])
def test_format_is_measured_of_documents_only(reference: str, is_measured: bool) -> None:
    models = [create_model(name, answer(*[reference] * 9, "{broken")) for name in "ab"]
    result = compare_models(replace(create_input(*models), references=dict.fromkeys(PROBES, reference)))
    for verdict in result.gate.verdicts:
        kinds = [each.kind for each in verdict.measurements]
        assert (MeasurementKind.INVALID_FORMAT in kinds) is is_measured


@pytest.mark.parametrize(
    ("floors", "unsteady"),
    [
        ([0, 0, 1], []),  # 0.1 is serving noise
        ([0, 0, 2], ["c"]),
        ([2, 2, 4], []),  # twice the median
        ([2, 2, 5], ["c"]),
        ([4, 4, 4], []),
        ([5, 0, 0], ["a"]),
    ],
)
def test_unsteady_account_differs_from_itself_far_more_than_the_median(
    floors: list[int], unsteady: list[str]
) -> None:
    models = [
        create_model(name, answer(), answer(*["no"] * floor)) for name, floor in zip("abc", floors, strict=True)
    ]
    verdicts = compare_models(create_input(*models)).gate.verdicts
    assert [each.account for each in verdicts if each.is_unsteady] == unsteady


def test_one_comparable_account_is_measured_in_nothing() -> None:
    result = compare_models(create_input(create_model("a", answer()), create_model("b")))
    assert [each.verdict for each in result.gate.verdicts] == [
        ComparisonVerdict.NOT_SURE,
        ComparisonVerdict.NOT_COMPARABLE,
    ]
    assert [each.is_alone for each in result.gate.verdicts] == [True, False]
    assert result.gate.verdicts[0].measurements == ()


def test_account_that_stands_out_by_distance_is_not_in_the_pool_of_the_others() -> None:
    # "c" answers otherwise, but not worse: only the distance tells. Its answers are longer than those of the others.
    other = answer(*["certainly"] * 10)
    models = [create_model(name, answer(), answer()) for name in "ab"]
    models.append(create_model("c", other, other))
    result = compare_models(replace(create_input(*models), references={}))
    lengths = [
        next(one for one in each.measurements if one.kind is MeasurementKind.LENGTH) for each in result.gate.verdicts
    ]
    assert [each.own for each in lengths[:2]] == [1.0, 1.0]
    assert result.gate.verdicts[2].verdict is ComparisonVerdict.DIFFERENT
