from __future__ import annotations

import pytest

from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.loss_summary import _MIN_RELATIVE_WIDTH, MIN_BAND_ACCOUNTS, summarise_curves

STEPS = range(1, 21)


def curve(level: float, steps: range = STEPS, validation: float | None = None) -> list[Loss]:
    return [Loss(step, level + 1 / step, validation) for step in steps]


def many(count: int = 20, **other: list[Loss]) -> dict[str, list[Loss]]:
    """Curves whose levels are spread evenly from 0.40 to 0.50."""
    return {f"a{number:02}": curve(0.4 + 0.1 * number / (count - 1)) for number in range(count)} | other


def test_band_has_the_median_and_the_quantiles_of_each_step() -> None:
    [*_, last] = summarise_curves({f"a{n}": curve(n / 10) for n in range(11)}).training
    assert (last.step, last.accounts) == (20, 11)
    assert (last.low, last.median, last.high) == pytest.approx((0.15, 0.55, 0.95))


def test_account_far_from_the_band_is_an_outlier_with_its_side() -> None:
    found = summarise_curves(many(low=curve(0.1), high=curve(0.9), higher=curve(1.5)))
    assert [(each.account, each.distance > 0) for each in found.outliers] == [
        ("higher", True),
        ("high", True),
        ("low", False),
    ]


def test_spread_of_equal_trainings_has_no_outliers() -> None:
    assert summarise_curves(many()).outliers == ()
    equal = {f"a{n}": curve(0.4 + n * 1e-9) for n in range(20)}
    assert summarise_curves(equal).outliers == (), "noise far below the loss is no difference"


def test_only_the_second_half_of_a_curve_is_judged() -> None:
    late = curve(0.9, range(1, 10)) + curve(0.45, range(10, 21))
    assert summarise_curves(many(late=late)).outliers == ()
    drifting = curve(0.45, range(1, 11)) + curve(0.9, range(11, 21))
    assert [each.account for each in summarise_curves(many(drifting=drifting)).outliers] == ["drifting"]


def test_account_that_has_just_begun_is_not_judged() -> None:
    assert summarise_curves(many(begun=curve(0.9, range(1, 4)))).outliers == ()


def test_steps_that_few_accounts_have_reached_are_left_out() -> None:
    long = {f"long{n}": curve(0.45, range(1, 31)) for n in range(MIN_BAND_ACCOUNTS - 1)}
    assert summarise_curves(many() | long).training[-1].step == 20
    few = dict(list(many().items())[: MIN_BAND_ACCOUNTS - 1])
    assert summarise_curves(few).training == ()


def test_validation_losses_have_a_band_of_their_own() -> None:
    curves = {f"a{n}": curve(0.4, validation=0.6 + n / 100) for n in range(10)}
    summary = summarise_curves(curves)
    assert summary.validation[0].median == pytest.approx(0.645)
    assert summarise_curves(many()).validation == ()


def test_no_curves_have_an_empty_summary() -> None:
    summary = summarise_curves({})
    assert (summary.training, summary.validation, summary.outliers) == ((), (), ())
    assert summarise_curves({f"a{n}": [Loss(1, None, 0.5)] for n in range(9)}).training == ()


@pytest.mark.parametrize(("relative_distance", "is_outlier"), [(0.5, False), (1.5, True), (-1.5, True)])
def test_accounts_that_agree_completely_leave_room_for_a_small_share_of_the_loss(
    relative_distance: float, *, is_outlier: bool
) -> None:
    other = [Loss(step, 0.4 * (1 + relative_distance * _MIN_RELATIVE_WIDTH)) for step in STEPS]
    equal = {f"a{number:02}": [Loss(step, 0.4) for step in STEPS] for number in range(20)}
    assert bool(summarise_curves(equal | {"other": other}).outliers) is is_outlier
