"""The chaos experiment in small. `make chaos` is the long one."""

from pathlib import Path

import pytest
from harness import POINTS, experiment


@pytest.mark.timeout(300)
def test_one_job_and_one_file_each_whatever_is_killed(tmp_path: Path) -> None:
    points = tuple(point for point in POINTS if point.startswith(("uploading", "submitting")))
    verdict = experiment(tmp_path, rounds=4, points=points, accounts=12, seed=7)
    assert verdict.good, verdict
    assert verdict.kills >= len(points), verdict  # the points were really reached
    assert verdict.faults > 20, verdict
