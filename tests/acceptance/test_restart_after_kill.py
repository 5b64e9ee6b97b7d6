"""After `kill -9`: what waited goes on at once, what was in flight when its intent has expired."""

from __future__ import annotations

import signal
from datetime import datetime
from typing import Any

from machine_speed import scale_seconds
from processes import RunningProgram, SandboxProcess, Site, eventually

INTENT = scale_seconds(4)


def test_restart_polls_waiting_jobs_before_it_recovers_open_intents(site: Site, sandbox: SandboxProcess) -> None:
    sandbox.set_faults(
        {"kind": "fail_job", "accounts": ["waits"], "seconds": 600},
        {"kind": "stall", "accounts": ["creates"], "operations": ["jobs.create"]},
    )
    site.write_accounts("waits", "creates")
    first = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=f"{INTENT}")
    eventually(lambda: find_history_line(first, "waits", "remote started"), "a job that trains")
    begun = eventually(lambda: find_history_line(first, "creates", "submit started"), "a create in flight")
    first.send(signal.SIGKILL)
    sandbox.set_faults()
    before = count_polls(sandbox)
    second = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=f"{INTENT}")
    eventually(lambda: count_polls(sandbox) > before, "a look at the job that waited")
    found = eventually(lambda: find_history_line(second, "creates", "remote job created"), "the create is looked for")
    assert timestamp_of(found) - timestamp_of(begun) >= INTENT, "not while it may still arrive"
    assert sandbox.count_files_and_jobs() == {"waits": (1, 1), "creates": (1, 1)}


def find_history_line(running: RunningProgram, account: str, what: str) -> dict[str, Any] | None:
    return next((said for said in running.log() if (said.get("account"), said.get("what")) == (account, what)), None)


def timestamp_of(said: dict[str, Any]) -> float:
    return datetime.fromisoformat(said["timestamp"]).timestamp()


def count_polls(sandbox: SandboxProcess) -> int:
    return sum(sandbox.state()["requests"].get("jobs.retrieve", {}).values())
