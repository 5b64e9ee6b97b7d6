"""Several replicas on one PostgreSQL: whatever becomes of one, every account gets one job, and only one."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from typing import Any

import pytest
from machine_speed import scale_seconds
from processes import HTTP, RunningProgram, SandboxProcess, Site, eventually

from orchestrator.core.jobs.next_action import INTENT_GRACE_SECONDS

INTENT = scale_seconds(1.5)
ROLLING_ACCOUNTS = int(os.environ.get("ROLLING_ACCOUNTS", "36"))  # `make rolling` sets 200


class Replica:
    """`serve` in a process of its own, and what its `/status` says."""

    def __init__(self, running: RunningProgram) -> None:
        self.running = running
        self.url = running.wait_for_output(r'"service.ready"[^\n]*"url": "(http://[^"]+)"')

    def status(self) -> Any:
        return HTTP.get(f"{self.url}status").raise_for_status().json()

    def states(self) -> list[str]:
        return [job["state"] for job in self.status()["jobs"]]

    def done(self) -> bool:
        return set(self.states()) == {"succeeded"}


@pytest.fixture
def shared(postgres_url: str, site: Site) -> Site:
    """A deployment on PostgreSQL with quick intents and few calls at once."""
    site.environ |= {
        "ORCHESTRATOR_DATABASE_URL": postgres_url,
        "ORCHESTRATOR_INTENT_SECONDS": f"{INTENT}",
        "ORCHESTRATOR_MAX_IN_FLIGHT": "4",
        "ORCHESTRATOR_PORT": "0",
        "ORCHESTRATOR_LOG_FORMAT": "json",
    }
    return site


def start_two_replicas(site: Site, accounts: list[str]) -> tuple[Replica, Replica]:
    """Started at once, on an empty database."""
    site.write_accounts(*accounts)
    first, second = site.start("serve"), site.start("serve")
    return Replica(first), Replica(second)


def names(count: int) -> list[str]:
    return [f"acme-{number:02}" for number in range(count)]


def count_remote_jobs(sandbox: SandboxProcess) -> int:
    return sum(jobs for _, jobs in sandbox.count_files_and_jobs().values())


def test_replica_takes_over_the_jobs_of_a_killed_replica(shared: Site, sandbox: SandboxProcess) -> None:
    accounts = names(30)
    sandbox.set_faults({"kind": "slow", "seconds": 0.2, "operations": ["jobs.create", "files.create"]})
    first, second = start_two_replicas(shared, accounts)
    assert len({replica["id"] for replica in second.status()["replicas"]}) == 2
    eventually(lambda: count_remote_jobs(sandbox) >= 8, "eight jobs")
    first.running.kill()
    eventually(second.done, "all jobs done by the other")
    assert sandbox.count_files_and_jobs() == dict.fromkeys(accounts, (1, 1))
    status = second.status()
    [alive] = status["replicas"]
    assert {job["replica"] for job in status["jobs"]} >= {alive["id"]}
    assert second.running.stop().code == 0


def test_replica_frozen_while_submitting_creates_no_second_job(shared: Site, sandbox: SandboxProcess) -> None:
    # As slow as the intents are long, so that the other is not through with all of them before the fifth moment.
    accounts, moments, second = names(60), random.Random(1), scale_seconds(1)
    shared.environ |= {"ORCHESTRATOR_MAX_IN_FLIGHT": "1"}
    sandbox.set_faults({"kind": "slow", "seconds": second / 2, "operations": ["jobs.list", "jobs.create"]})
    frozen, other = start_two_replicas(shared, accounts)
    for _ in range(5):
        eventually(lambda: is_submitting(other, frozen), "a job that it is submitting")
        time.sleep(moments.uniform(0, second))
        frozen.running.send(signal.SIGSTOP)
        before = other.status()["jobs"]
        time.sleep(INTENT + INTENT_GRACE_SECONDS + second)  # the intent ends, and the other makes a call
        eventually(partial(has_changed_jobs, other, before), "the other goes on")
        frozen.running.send(signal.SIGCONT)
    sandbox.set_faults()  # the rest may be quick
    eventually(other.done, "all jobs done", 120)
    assert frozen.running.stop().code == 0
    assert sandbox.count_files_and_jobs() == dict.fromkeys(accounts, (1, 1))


def test_replicas_replaced_during_a_run_create_each_job_once(shared: Site, sandbox: SandboxProcess) -> None:
    accounts = names(ROLLING_ACCOUNTS)
    sandbox.set_faults({"kind": "slow", "seconds": scale_seconds(1), "operations": ["jobs.create"]})
    shared.write_accounts(*accounts)
    started = [shared.start("serve") for _ in range(3)]
    for running in started:
        Replica(running)  # is ready
    assert sum(running.output().count('"database.migrated"') for running in started) == 1
    replicas = [replace_replica(shared, sandbox, started[number], number) for number in range(3)]
    started += [replica.running for replica in replicas]
    eventually(replicas[-1].done, "all jobs done", 60 + ROLLING_ACCOUNTS)
    assert sandbox.count_files_and_jobs() == dict.fromkeys(accounts, (1, 1))
    eventually(lambda: len(replicas[-1].status()["replicas"]) == 3, "the three new replicas")
    for running in started:
        assert "Traceback" not in running.output()
        assert '"level": "error"' not in running.output()


def replace_replica(site: Site, sandbox: SandboxProcess, running: RunningProgram, number: int) -> Replica:
    """Stop a replica after its share of the first half of the jobs was created, and start another."""
    threshold = (number + 1) * ROLLING_ACCOUNTS / 6
    eventually(lambda: count_remote_jobs(sandbox) >= threshold, "a part of the jobs", 60 + ROLLING_ACCOUNTS)
    print("jobs when the replica is stopped:", count_remote_jobs(sandbox))
    assert running.stop().code == 0
    print("jobs when it has stopped:", count_remote_jobs(sandbox))
    return Replica(site.start("serve"))


def test_late_outcome_of_a_frozen_replica_is_dropped(shared: Site, sandbox: SandboxProcess) -> None:
    shared.environ |= {"ORCHESTRATOR_INTENT_SECONDS": f"{scale_seconds(4):g}"}
    sandbox.set_faults({"kind": "stall", "operations": ["jobs.list"]})
    first, second = start_two_replicas(shared, ["one"])
    eventually(lambda: is_submitting(first, first) or is_submitting(first, second), "a job that is being submitted")
    frozen, other = (first, second) if is_submitting(first, first) else (second, first)
    frozen.running.send(signal.SIGSTOP)
    sandbox.set_faults()
    eventually(other.done, "done by the other")
    frozen.running.send(signal.SIGCONT)
    eventually(lambda: "job.version_conflict" in frozen.running.output(), "what came too late is dropped and logged")
    assert frozen.running.stop().code == 0
    assert sandbox.count_files_and_jobs() == {"one": (1, 1)}


def has_changed_jobs(replica: Replica, before: list[dict[str, Any]]) -> bool:
    """Whether its jobs are not as they were."""
    return bool(replica.status()["jobs"] != before)


def is_submitting(seen_by: Replica, replica: Replica) -> bool:
    """Whether it is just submitting a job."""
    status = seen_by.status()
    [own] = [alive["id"] for alive in status["replicas"] if alive["pid"] == replica.running.pid] or [None]
    return any(job["state"] == "submitting" and job["replica"] == own for job in status["jobs"])


def test_operator_action_wakes_the_replica_that_has_the_job(shared: Site, sandbox: SandboxProcess) -> None:
    """The command line is a process of its own: its wake-up comes through the database."""
    shared.environ |= {"ORCHESTRATOR_POLL_MIN_SECONDS": "3600", "ORCHESTRATOR_POLL_MAX_SECONDS": "3600"}
    replicas = start_two_replicas(shared, ["one", "two"])
    eventually(lambda: set(replicas[0].states()) == {"processing"}, "files that are being checked")
    assert shared.run("cancel", "one").code == 0
    eventually(lambda: sorted(replicas[0].states()) == ["cancelled", "processing"], "cancelled")
    for replica in replicas:
        assert replica.running.stop().code == 0
    assert shared.status()["replicas"] == []
    assert sandbox.count_files_and_jobs() == {"one": (1, 0), "two": (1, 0)}
