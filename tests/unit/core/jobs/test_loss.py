from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.jobs.loss import MAX_CURVE_POINTS, Loss, downsample_curve, merge_curves

CURVES = st.lists(
    st.builds(Loss, st.integers(1, 5000), st.floats(0, 9), st.none() | st.floats(0, 9)),
    unique_by=lambda loss: loss.step,
    max_size=1500,
).map(merge_curves)


def test_separate_losses_of_a_step_are_one_point() -> None:
    reported = [Loss(2, None, 0.5), Loss(1, 0.9), Loss(2, 0.4)]
    assert merge_curves(reported) == [Loss(1, 0.9, None), Loss(2, 0.4, 0.5)]


def test_later_loss_of_a_step_replaces_the_earlier() -> None:
    assert merge_curves([Loss(1, 0.9, 0.8)], [Loss(1, 0.7)]) == [Loss(1, 0.7, 0.8)]


def test_a_short_curve_is_kept_whole() -> None:
    curve = [Loss(step, 1.0) for step in range(1, MAX_CURVE_POINTS + 1)]
    assert downsample_curve(curve) == curve


def test_validation_losses_are_kept_before_others() -> None:
    curve = [Loss(step, 1.0, 0.5 if step % 50 == 0 else None) for step in range(1, 2001)]
    assert sum(loss.validation is not None for loss in downsample_curve(curve)) == 40


@given(CURVES)
def test_a_thinned_curve_is_short_ordered_and_of_the_same_points(curve: list[Loss]) -> None:
    kept = downsample_curve(curve)
    assert len(kept) <= MAX_CURVE_POINTS
    assert len(kept) >= min(len(curve), MAX_CURVE_POINTS // 4)
    assert kept == [loss for loss in curve if loss in kept]
    assert kept[:1] == curve[:1]
    assert kept[-1:] == curve[-1:]
    assert downsample_curve(kept) == kept


def test_first_point_is_kept_even_if_a_later_one_of_its_bucket_has_a_validation_loss() -> None:
    curve = [Loss(step, 1.0, 0.5 if step == 3 else None) for step in range(2, 1200)]
    assert downsample_curve(curve)[0] == curve[0]


def test_curve_is_reduced_no_more_than_needed() -> None:
    curve = [Loss(step, 1.0) for step in range(1, MAX_CURVE_POINTS + 2)]
    kept = downsample_curve(curve)
    assert [loss.step for loss in kept[:4]] == [1, 2, 4, 6]
    assert len(kept) == MAX_CURVE_POINTS // 2 + 2
