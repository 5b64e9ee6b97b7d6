"""The machine's clock is set by an hour in the middle of the work: nothing stops, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from processes import Sandbox, Site, eventually

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
LIMIT = 60.0


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (apt-get install faketime)")
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_the_service_goes_on(site: Site, sandbox: Sandbox, seconds: int) -> None:
    setting = site.folder / "clock"
    setting.write_text("+0\n")
    site.accounts("acme", "globex")
    serving = site.start(
        "serve",
        ORCHESTRATOR_PORT="0",
        LD_PRELOAD=str(LIBRARIES[0]),
        FAKETIME_TIMESTAMP_FILE=str(setting),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        DONT_FAKE_MONOTONIC="1",
    )
    url = serving.find(r'"url": "(http://[^"]+)"[^\n]*"service.ready"')

    def status() -> Any:
        return httpx2.get(f"{url}status", timeout=30).json()

    def succeeded(count: int) -> bool:
        states = [job["state"] for job in status()["jobs"]]
        return states == ["succeeded"] * count

    eventually(lambda: len(sandbox.held()) == 2 and sandbox.changes().get("jobs.create", 0) == 2, "both jobs", LIMIT)
    setting.write_text(f"{seconds:+}\n")
    serving.find(r'("clock.changed")', LIMIT)
    eventually(lambda: succeeded(2), "both models", LIMIT)
    site.accounts("acme", "globex", "initech")
    eventually(lambda: succeeded(3), "the changed accounts file was read", LIMIT)
    ready = httpx2.get(f"{url}readyz", timeout=30)
    assert (ready.status_code, ready.json()["reason"]) == (200, None)
    eventually(lambda: len(status()["replicas"]) == 1, "the replica is listed", LIMIT)
    assert sandbox.held() == dict.fromkeys(("acme", "globex", "initech"), (1, 1))
    ended = serving.stop()
    assert ended.code == 0
    assert "Traceback" not in ended.err
