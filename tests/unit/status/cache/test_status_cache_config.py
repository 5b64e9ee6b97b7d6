"""The share of time that the status cache builds in while jobs change all the time, and how old its document gets."""

from __future__ import annotations

import pytest

from orchestrator.status import StatusCacheConfig


@pytest.mark.parametrize(
    ("build", "pause", "staleness"),
    [(0.0, 0.0, 3), (0.01, 0.04, 3), (0.3, 1.2, 3), (0.5, 1.5, 3), (1.0, 3.0, 6), (2.0, 4.0, 10), (6.0, 3.0, 10)],
)
def test_pause_leaves_time_for_the_next_build_before_the_document_is_too_old(
    build: float, pause: float, staleness: float
) -> None:
    config = StatusCacheConfig()
    assert config.pause_after(build) == pytest.approx(pause)
    assert config.staleness_after(build) == pytest.approx(staleness)
    if build <= 2:
        assert build + pause + 2 * build <= staleness + 1e-6, "readers get the previous document"
    assert pause >= build / 2, "building takes two thirds of the time at most"


def test_nothing_pauses_with_a_divisor_of_one() -> None:
    assert StatusCacheConfig(build_time_divisor=1).pause_after(2.0) == 0
