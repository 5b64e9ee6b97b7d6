"""The share of time that the status cache builds in while jobs change all the time."""

from __future__ import annotations

import pytest

from orchestrator.status import StatusCacheConfig


@pytest.mark.parametrize(
    ("build", "pause"), [(0.0, 0.0), (0.01, 0.04), (0.5, 2.0), (0.7, 1.6), (1.2, 0.6), (4.0, 2.0)]
)
def test_pause_leaves_time_for_the_next_build_before_the_document_is_too_old(build: float, pause: float) -> None:
    config = StatusCacheConfig()
    assert config.pause_after(build) == pytest.approx(pause)
    if build <= 1.2:
        assert build + pause + build < config.max_staleness_seconds + 1e-6, "readers get the previous document"
    assert pause >= build / 2, "building takes two thirds of the time at most"


def test_nothing_pauses_with_a_divisor_of_one() -> None:
    assert StatusCacheConfig(build_time_divisor=1).pause_after(2.0) == 0
