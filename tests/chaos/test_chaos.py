"""The chaos experiment in small. `make chaos` is the long one."""

from pathlib import Path

import pytest
from deployment_chaos import DeploymentChaos, run_deployment_experiment
from harness import POINTS, Chaos, run_experiment, shorten_backoff
from machine_speed import scale_seconds


@pytest.mark.timeout(scale_seconds(600))
def test_kills_leave_one_job_and_one_file_per_account(tmp_path: Path) -> None:
    points = tuple(point for point in POINTS if point.startswith(("uploading", "submitting")))
    with Chaos(tmp_path, accounts=12, seed=7, environ=shorten_backoff(tmp_path)) as chaos:
        verdict = run_experiment(chaos, rounds=4, points=points)
    assert verdict.passed, verdict
    assert verdict.points == len(points), verdict
    assert verdict.faults > 20, verdict


@pytest.mark.timeout(scale_seconds(600))
def test_kills_of_two_replicas_leave_one_job_and_one_file_per_account(tmp_path: Path, postgres_url: str) -> None:
    environ = shorten_backoff(tmp_path)
    with Chaos(tmp_path, accounts=12, seed=7, database_url=postgres_url, replicas=2, environ=environ) as chaos:
        verdict = run_experiment(chaos, rounds=4, points=("submitting: after intent", "submitting: before record"))
    assert verdict.passed, verdict
    assert verdict.kills >= 3, verdict  # the other replica may have done all there was to do


@pytest.mark.timeout(scale_seconds(600))
def test_three_runs_share_the_slots_and_the_budget_of_their_accounts(tmp_path: Path) -> None:
    with Chaos(tmp_path, accounts=6, seed=7, runs=3, environ=shorten_backoff(tmp_path)) as chaos:
        verdict = run_experiment(chaos, rounds=2, points=("ready: after record", "submitting: after intent"))
    assert verdict.passed, verdict
    assert verdict.jobs == verdict.runs * 5 + 2, verdict


@pytest.mark.timeout(scale_seconds(1200))
def test_kills_leave_one_deployment_per_account_and_none_after_its_expiry(tmp_path: Path) -> None:
    points = ("deployment creating: after intent", "deployment creating: before record")
    # Longer than a replica needs to go on after a kill: what expires before its creation is not created any more.
    # That takes an intent, which is scale_seconds(2), and from 10 s (idle) to 60 s (30 times as busy).
    with DeploymentChaos(tmp_path, accounts=4, seed=7, keep_seconds=30 + scale_seconds(10)) as chaos:
        verdict = run_deployment_experiment(chaos, rounds=1, points=points)
    assert verdict.passed, verdict
    assert verdict.points == len(points), verdict
