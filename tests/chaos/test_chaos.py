"""The chaos experiment in small. `make chaos` is the long one."""

from pathlib import Path

import pytest
from harness import POINTS, Chaos, experiment
from machine_speed import scale_seconds


@pytest.mark.timeout(scale_seconds(600))
def test_one_job_and_one_file_each_whatever_is_killed(tmp_path: Path) -> None:
    points = tuple(point for point in POINTS if point.startswith(("uploading", "submitting")))
    with Chaos(tmp_path, accounts=12, seed=7) as chaos:
        verdict = experiment(chaos, rounds=4, points=points)
    assert verdict.good, verdict
    assert verdict.points == len(points), verdict
    assert verdict.faults > 20, verdict


@pytest.mark.timeout(scale_seconds(600))
def test_two_replicas_make_one_job_and_one_file_each(tmp_path: Path, postgres_url: str) -> None:
    with Chaos(tmp_path, accounts=12, seed=7, database_url=postgres_url, replicas=2) as chaos:
        verdict = experiment(chaos, rounds=4, points=("submitting: after intent", "submitting: before record"))
    assert verdict.good, verdict
    assert verdict.kills >= 3, verdict  # the other replica may have done all there was to do
