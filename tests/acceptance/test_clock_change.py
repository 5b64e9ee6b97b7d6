"""The machine's clock is set by an hour in the middle of the work: nothing stops, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from processes import SandboxProcess, Site, eventually

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
TIME_LIMIT_SECONDS = 60.0


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (apt-get install faketime)")
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_service_continues_when_the_wall_clock_is_set(site: Site, sandbox: SandboxProcess, seconds: int) -> None:
    setting = site.folder / "clock"
    setting.write_text("+0\n")
    site.write_accounts("acme", "globex")
    serving = site.start(
        "serve",
        ORCHESTRATOR_PORT="0",
        LD_PRELOAD=str(LIBRARIES[0]),
        FAKETIME_TIMESTAMP_FILE=str(setting),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
    )
    url = serving.wait_for_output(r'"service.ready"[^\n]*"url": "(http://[^"]+)"')

    def status() -> Any:
        return httpx2.get(f"{url}status", timeout=30).json()

    def succeeded(count: int) -> bool:
        states = [job["state"] for job in status()["jobs"]]
        return states == ["succeeded"] * count

    eventually(
        lambda: (
            len(sandbox.count_files_and_jobs()) == 2 and sandbox.count_changing_requests().get("jobs.create", 0) == 2
        ),
        "both jobs",
        TIME_LIMIT_SECONDS,
    )
    setting.write_text(f"{seconds:+}\n")
    serving.wait_for_output(r'("clock.changed")', TIME_LIMIT_SECONDS)
    eventually(lambda: succeeded(2), "both models", TIME_LIMIT_SECONDS)
    site.write_accounts("acme", "globex", "initech")
    eventually(lambda: succeeded(3), "the changed accounts file was read", TIME_LIMIT_SECONDS)
    ready = httpx2.get(f"{url}readyz", timeout=30)
    assert (ready.status_code, ready.json()["reason"]) == (200, None)
    eventually(lambda: len(status()["replicas"]) == 1, "the replica is listed", TIME_LIMIT_SECONDS)
    assert sandbox.count_files_and_jobs() == dict.fromkeys(("acme", "globex", "initech"), (1, 1))
    ended = serving.stop()
    assert ended.code == 0
    assert "Traceback" not in ended.err
