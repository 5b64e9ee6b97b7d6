"""Time limits follow the speed of the machine; ports are one session's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import machine_speed
import pytest
from machine_speed import FACTOR_VARIABLE, measure_time_factor, scale_seconds, set_time_factor
from ports import FIRST, LAST, reserve_port


@pytest.fixture(autouse=True)
def one_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "MEASUREMENTS", 1)


def test_a_machine_that_takes_longer_gets_longer_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "REFERENCE_SECONDS", 1e-6)
    assert measure_time_factor() == machine_speed.MAX_FACTOR
    monkeypatch.setattr(machine_speed, "REFERENCE_SECONDS", 1e6)
    assert measure_time_factor() == 1.0, "a fast machine has the limits that are written"


def test_workers_that_share_a_core_get_longer_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "REFERENCE_SECONDS", 1e6)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert [measure_time_factor(workers) for workers in (1, 2, 4)] == [1.0, 1.0, 2.0]


def test_given_time_factor_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FACTOR_VARIABLE, "2.5")
    set_time_factor()
    assert scale_seconds(60) == 150


def test_the_limit_of_each_test_is_scaled(pytestconfig: pytest.Config) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(
        command,
        env=environ | {FACTOR_VARIABLE: "3"},
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"timeout: {3 * float(pytestconfig.getini('timeout'))}s" in run.stdout


def test_no_port_is_reserved_twice_or_while_somebody_listens() -> None:
    ports = {reserve_port() for _ in range(20)}
    assert len(ports) == 20
    assert all(FIRST <= port < LAST for port in ports)
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            continue
