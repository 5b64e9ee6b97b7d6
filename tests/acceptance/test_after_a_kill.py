"""After `kill -9`: what waited goes on at once, what was in flight when its intent has expired."""

from __future__ import annotations

import signal
from datetime import datetime
from typing import Any

from machine_speed import scale_seconds
from processes import Running, Sandbox, Site, eventually

INTENT = scale_seconds(4)


def test_what_waited_goes_on_before_what_was_in_flight_is_looked_for(site: Site, sandbox: Sandbox) -> None:
    sandbox.faults(
        {"kind": "fail_job", "accounts": ["waits"], "seconds": 600},
        {"kind": "stall", "accounts": ["creates"], "operations": ["jobs.create"]},
    )
    site.accounts("waits", "creates")
    first = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=f"{INTENT}")
    eventually(lambda: line(first, "waits", "remote started"), "a job that trains")
    begun = eventually(lambda: line(first, "creates", "submit started"), "a create in flight")
    first.send(signal.SIGKILL)
    sandbox.faults()
    before = looks(sandbox)
    second = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=f"{INTENT}")
    eventually(lambda: looks(sandbox) > before, "a look at the job that waited")
    found = eventually(lambda: line(second, "creates", "remote job created"), "the create is looked for")
    assert at(found) - at(begun) >= INTENT, "not while it may still arrive"
    assert sandbox.held() == {"waits": (1, 1), "creates": (1, 1)}


def line(running: Running, account: str, what: str) -> dict[str, Any] | None:
    return next((said for said in running.log() if (said.get("account"), said.get("what")) == (account, what)), None)


def at(said: dict[str, Any]) -> float:
    return datetime.fromisoformat(said["timestamp"]).timestamp()


def looks(sandbox: Sandbox) -> int:
    return sum(sandbox.state()["requests"].get("jobs.retrieve", {}).values())
