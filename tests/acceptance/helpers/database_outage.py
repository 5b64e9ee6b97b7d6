"""A service whose database is in trouble for a while: it says so once, spends nothing meanwhile, and goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from machine_speed import scale_seconds
from processes import HTTP, RunningProgram, SandboxProcess, Site, eventually

OutageContext = Callable[[RunningProgram], AbstractContextManager[None]]
INTENT_SECONDS = f"{scale_seconds(4) + 15:g}"  # longer than SQLite waits for a lock
MAX_IN_FLIGHT = 2
CREATE_SECONDS = scale_seconds(3)  # of each create: the trouble comes in the middle, in whatever order they are made
SETTLE_SECONDS = CREATE_SECONDS + scale_seconds(1)  # seconds after which what was under way has ended
QUIET_SECONDS = 1.5  # seconds in which nothing is asked of the provider


def check_recovery(
    outage: OutageContext,
    site: Site,
    sandbox: SandboxProcess,
    accounts: Sequence[str],
    *,
    readable: bool,
    **environ: str,
) -> None:
    """In the middle of the work there is trouble; `readable` is whether the service can be looked at meanwhile."""
    site.write_accounts(*accounts)
    sandbox.set_faults({"kind": "slow", "operations": ["jobs.create"], "seconds": CREATE_SECONDS})
    hurried = {
        "ORCHESTRATOR_INTENT_SECONDS": INTENT_SECONDS,
        "ORCHESTRATOR_MAX_IN_FLIGHT": f"{MAX_IN_FLIGHT}",
        "ORCHESTRATOR_PORT": "0",
    }
    serving = site.start("serve", **hurried, **environ)
    url = serving.wait_for_output(r'"service.ready"[^\n]*"url": "(http://[^"]+)"')

    def readiness() -> int:
        return HTTP.get(f"{url}readyz").status_code

    def done() -> bool:
        status = HTTP.get(f"{url}status").json()
        return all(job["state"] == "succeeded" for job in status["jobs"])

    eventually(lambda: sandbox.count_changing_requests().get("jobs.create", 0) >= 1, "a job")
    assert readiness() == 200
    with outage(serving):
        eventually(lambda: readiness() == 503, "/readyz says so")
        sandbox.set_faults()
        time.sleep(SETTLE_SECONDS)
        before = sandbox.count_changing_requests()
        time.sleep(QUIET_SECONDS)
        assert sandbox.count_changing_requests() == before
        assert before["jobs.create"] < len(accounts)
        if readable:
            assert HTTP.get(f"{url}status").status_code == 200, "it can still be looked at"
    eventually(lambda: readiness() == 200, "/readyz says so again")
    eventually(done, "all jobs done")
    assert sandbox.count_files_and_jobs() == dict.fromkeys(accounts, (1, 1))
    creates = sandbox.state()["requests"]["jobs.create"]
    # A busy machine may give up the creates in flight, at the end of their intents, before the sandbox goes on.
    assert creates.pop("disconnected", 0) <= MAX_IN_FLIGHT
    assert creates == {"200": len(accounts)}
    assert_outage_logged_once(serving)


def assert_outage_logged_once(serving: RunningProgram) -> None:
    """Its log told of the trouble, and of its end, and of nothing broken."""
    ended = serving.stop()
    assert ended.code == 0
    said = [line["event"] for line in ended.log if line["event"] in {"database.unreachable", "database.recovered"}]
    assert said == ["database.unreachable", "database.recovered"]
    assert "Traceback" not in ended.err
