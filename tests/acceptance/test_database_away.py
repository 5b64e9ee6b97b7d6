"""PostgreSQL goes away in the middle of the work and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest
from postgres import OwnPostgres
from processes import Sandbox, Site, eventually

ACCOUNTS = [f"acme-{number:02}" for number in range(10)]


@pytest.fixture
def own() -> Iterator[OwnPostgres]:
    server = OwnPostgres()
    yield server
    server.close()


def test_the_service_says_so_spends_nothing_and_goes_on(own: OwnPostgres, site: Site, sandbox: Sandbox) -> None:
    site.accounts(*ACCOUNTS)
    sandbox.faults({"kind": "slow", "seconds": 0.3, "operations": ["files.create", "jobs.create"]})
    serving = site.start(
        "serve",
        ORCHESTRATOR_DATABASE_URL=own.create(),
        ORCHESTRATOR_INTENT_SECONDS="2",
        ORCHESTRATOR_MAX_IN_FLIGHT="2",
        ORCHESTRATOR_PORT="0",
    )
    url = serving.find(r'"url": "(http://[^"]+)"[^\n]*"service.ready"')

    def readiness() -> int:
        return httpx2.get(f"{url}readyz", timeout=10).status_code

    eventually(lambda: sandbox.changes().get("jobs.create", 0) >= 2, "two jobs")
    assert readiness() == 200
    own.stop()
    eventually(lambda: readiness() == 503, "/readyz says so")
    time.sleep(1)  # what was under way has ended
    before = sandbox.changes()
    time.sleep(3)
    assert sandbox.changes() == before
    assert before["jobs.create"] < len(ACCOUNTS)
    own.start()
    eventually(lambda: readiness() == 200, "/readyz says so again")

    def done() -> bool:
        status = httpx2.get(f"{url}status", timeout=10).json()
        return all(job["state"] == "succeeded" for job in status["jobs"])

    eventually(done, "all jobs done", 60)
    assert sandbox.held() == dict.fromkeys(ACCOUNTS, (1, 1))
    assert sandbox.changes()["jobs.create"] == len(ACCOUNTS)
    ended = serving.stop()
    assert ended.code == 0
    said = [line["event"] for line in ended.log if line["event"] in {"database.unreachable", "database.back"}]
    assert said == ["database.unreachable", "database.back"]
    assert "Traceback" not in ended.err
