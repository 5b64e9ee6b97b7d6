"""Several replicas on one PostgreSQL: whatever becomes of one, every account gets one job, and only one."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

import httpx2
import pytest
from processes import Running, Sandbox, Site, eventually

INTENT = 2.0  # seconds
ROLLING = int(os.environ.get("ROLLING_ACCOUNTS", "0"))  # `make rolling` takes 200, and replaces all three replicas
LONG = 60.0 + ROLLING


class Replica:
    """`serve` in a process of its own, and what its `/status` says."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.url = running.find(r'"url": "(http://[^"]+)"[^\n]*"service.ready"')

    def status(self) -> Any:
        return httpx2.get(f"{self.url}status", timeout=10).raise_for_status().json()

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


def two(site: Site, accounts: list[str]) -> tuple[Replica, Replica]:
    """Started at once, on an empty database."""
    site.accounts(*accounts)
    first, second = site.start("serve"), site.start("serve")
    return Replica(first), Replica(second)


def names(count: int) -> list[str]:
    return [f"acme-{number:02}" for number in range(count)]


def jobs_at(sandbox: Sandbox) -> int:
    return sum(jobs for _, jobs in sandbox.held().values())


def test_two_share_the_work_and_one_that_is_killed_is_replaced(shared: Site, sandbox: Sandbox) -> None:
    accounts = names(30)
    sandbox.faults({"kind": "slow", "seconds": 0.2, "operations": ["jobs.create", "files.create"]})
    first, second = two(shared, accounts)
    assert len({replica["id"] for replica in second.status()["replicas"]}) == 2
    eventually(lambda: jobs_at(sandbox) >= 8, "eight jobs")
    first.running.kill()
    eventually(second.done, "all jobs done by the other", 60)
    assert sandbox.held() == dict.fromkeys(accounts, (1, 1))
    status = second.status()
    [alive] = status["replicas"]
    assert {job["replica"] for job in status["jobs"]} >= {alive["id"]}
    assert second.running.stop().code == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_one_that_is_frozen_past_its_intents_creates_nothing_afterwards(
    shared: Site, sandbox: Sandbox, seed: int
) -> None:
    accounts = names(14)
    sandbox.faults({"kind": "slow", "seconds": 0.4, "operations": ["jobs.list", "jobs.create"]})
    frozen, other = two(shared, accounts)
    eventually(lambda: "submitting" in other.states(), "a job that is being submitted")
    time.sleep(random.Random(seed).uniform(0, 0.8))
    frozen.running.send(signal.SIGSTOP)
    before = other.status()["jobs"]
    time.sleep(3 * INTENT)
    assert other.status()["jobs"] != before, "the other stalled"
    frozen.running.send(signal.SIGCONT)
    eventually(other.done, "all jobs done", 60)
    time.sleep(1)  # for whatever might still come late
    assert sandbox.held() == dict.fromkeys(accounts, (1, 1))


def test_three_started_at_once_make_the_tables_once(shared: Site, sandbox: Sandbox) -> None:
    """And with `make rolling` they are replaced one by one while the jobs are being created."""
    accounts = names(ROLLING or 6)
    if ROLLING:
        sandbox.faults({"kind": "slow", "seconds": 1.0, "operations": ["jobs.create"]})
    shared.accounts(*accounts)
    started = [shared.start("serve") for _ in range(3)]
    replicas = [Replica(running) for running in started]
    assert sum(running.said().count('"database.migrated"') for running in started) == 1
    if ROLLING:
        replicas = roll(shared, sandbox, started)
    eventually(replicas[-1].done, "all jobs done", LONG)
    assert sandbox.held() == dict.fromkeys(accounts, (1, 1))
    assert len(replicas[-1].status()["replicas"]) == 3
    for running in started:
        assert "Traceback" not in running.said()
        assert '"level": "error"' not in running.said()


def roll(shared: Site, sandbox: Sandbox, started: list[Running]) -> list[Replica]:
    """Stop each, and start another in its place; the new ones."""
    replicas = []
    for number in range(3):
        enough = (number + 1) * ROLLING / 6
        eventually(lambda enough=enough: jobs_at(sandbox) >= enough, "a part of the jobs", LONG)  # type: ignore[misc]
        print("jobs when it is asked to stop:", jobs_at(sandbox))
        assert started[number].stop().code == 0
        assert jobs_at(sandbox) < ROLLING, "the jobs were over before the restart was"
        started.append(shared.start("serve"))
        replicas.append(Replica(started[-1]))
    return replicas


def test_what_an_operator_asks_is_seen_to_at_once_whoever_has_the_job(shared: Site, sandbox: Sandbox) -> None:
    """The command line is a process of its own: its wake-up comes through the database."""
    shared.environ |= {"ORCHESTRATOR_POLL_MIN_SECONDS": "20", "ORCHESTRATOR_POLL_MAX_SECONDS": "20"}
    replicas = two(shared, ["one", "two"])
    eventually(lambda: set(replicas[0].states()) == {"processing"}, "files that are being checked")
    assert shared.run("cancel", "one").code == 0
    eventually(lambda: sorted(replicas[0].states()) == ["cancelled", "processing"], "cancelled", 5)
    for replica in replicas:
        assert replica.running.stop().code == 0
    assert shared.status()["replicas"] == []
    assert sandbox.held() == {"one": (1, 0), "two": (1, 0)}
