"""One replica against several on one PostgreSQL: wall time of the main job, CPU, and what the write lock is held for.

    python benchmarks/replicas.py --accounts 10000
    python benchmarks/replicas.py --accounts 1000 --replicas 1 2 4 --milliseconds 0.5 --namespaces --before CHECKOUT

The replicas start together, on an empty database; the wall time is that from their start to the last job's end. They
share the cores with the server, the fake provider and the relay, so the CPU of all of them is told: where it adds up
to what the cores have, no further replica can help. All replicas write one after another, under one lock. The relay
(`distance.py`) stands between them and the server: it adds the time of a network, counts the statements of each
transaction that has the lock, and how long the lock is held, and how much of that for the replica's next statement.

With `--namespaces` each replica is on a host of its own: a network namespace. With `--before` the same is measured
with the program of another checkout, in turn.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowd import CONCURRENCY, write_accounts
from harness import HERE, ROOT, clean, orchestrator, provider_process, report
from hosts import enter, network_namespaces
from served import cpu_of
from server import Server, postgresql

SETTINGS = {
    "ORCHESTRATOR_POLL_MIN_SECONDS": "0.01",
    "ORCHESTRATOR_MAX_IN_FLIGHT": f"{CONCURRENCY}",
    "ORCHESTRATOR_LOG_LEVEL": "warning",
    "ORCHESTRATOR_PORT": "0",
}
LOOK_SECONDS = 1.0
THERE = "SELECT to_regclass('jobs') IS NOT NULL"
ENDED = "SELECT count(*), max(finished_at) FROM jobs WHERE state = 'succeeded'"
SHARES = "SELECT count(*) FROM jobs GROUP BY replica ORDER BY 1 DESC"
FIRST = "SELECT min(at) FROM events WHERE job_id IS NOT NULL AND note != 'planned'"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared: a program, and how many replicas of it."""

    checkout: Path
    replicas: int
    hosts: Sequence[str]


class Relay:
    """The relay as a process of its own; `seen` is what it has counted, once it has ended."""

    def __init__(self, server: Server, milliseconds: float, hosts: Sequence[str]) -> None:
        command = [sys.executable, str(HERE / "distance.py"), "--server", server.socket]
        command += ["--milliseconds", str(milliseconds), "--namespaces", *hosts]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self.port = int(self._output.readline())
        self.pid = self._process.pid
        self.seen: dict[str, float] = {}

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self.seen = json.loads(self._output.readline() or "{}")
        self._process.wait()
        self._output.close()


@contextmanager
def replicas(folder: Path, url: str, setting: Setting) -> Iterator[list[int]]:
    """Start the services on an empty database; yield their process ids."""
    environment = clean(**SETTINGS, ORCHESTRATOR_DATABASE_URL=url, PYTHONPATH=str(setting.checkout))
    hosts = setting.hosts or [""] * setting.replicas
    with (folder / "serve.log").open("wb") as log:
        started = [
            subprocess.Popen(
                [*enter(host), *orchestrator("serve")], cwd=folder, env=environment, stdout=log, stderr=log
            )
            for host in hosts[: setting.replicas]
        ]
        try:
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()


def last_end(server: Server, accounts: int, pids: Sequence[int]) -> tuple[float, list[float]]:
    """Wait for every job to have succeeded: when the last one did, in epoch seconds, and the CPU of each replica."""
    while True:
        time.sleep(LOOK_SECONDS)
        if server.rows(THERE)[0][0]:
            [(ended, at)] = server.rows(ENDED)
            if ended == accounts:
                return float(at), [cpu_of(pid) for pid in pids]


def measure(accounts: int, setting: Setting, server: Server, milliseconds: float) -> dict[str, Any]:
    """Run the main job."""
    where = ["--namespaces", *setting.hosts] if setting.hosts else []
    name = server.create().partition("?")[0].rpartition("/")[2]
    with provider_process(0.05, *where) as (url, pid), tempfile.TemporaryDirectory() as place:
        write_accounts(Path(place), url, accounts)
        with Relay(server, milliseconds, setting.hosts) as relay:
            address = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?ssl=disable"
            before, begin = server.cpu, time.time()  # noqa: TID251
            with replicas(Path(place), address, setting) as pids:
                end, used = last_end(server, accounts, pids)
                own = {"replicas": sum(used), "server": server.cpu - before, "provider": cpu_of(pid)}
                own["relay"] = cpu_of(relay.pid)
        seen, wall = relay.seen, end - begin
        working = end - float(server.rows(FIRST)[0][0])
        return {
            "wall": round(wall, 1),
            "from the first step": round(working, 1),
            "cores used": round(sum(own.values()) / wall, 2),
            "cpu ms an account": {name: round(1000 * seconds / accounts, 2) for name, seconds in own.items()},
            "transactions an account": round(seen["transactions"] / accounts, 2),
            "statements in the lock": round(seen["statements"] / seen["transactions"], 2),
            "statements in the lock an account": round(seen["statements"] / accounts, 2),
            "lock held": round(seen["held_seconds"] / working, 2),
            "lock held ms an account": round(1000 * seen["held_seconds"] / accounts, 2),
            "of it for the next statement": round(seen["idle_seconds"] / seen["held_seconds"], 2),
            "other answers an account": round(seen["reads"] / accounts, 2),
            "jobs of each": [share for (share,) in server.rows(SHARES)],
        }


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare one replica with several.")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--milliseconds", type=float, default=0.0, help="of a round trip to the database")
    parser.add_argument("--namespaces", action="store_true", help="each replica in a network namespace; needs root")
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    given = parser.parse_args()
    programs = {"before": given.before, "now": ROOT} if given.before else {"now": ROOT}
    figures: dict[str, dict[str, Any]] = {name: {} for name in programs}
    with postgresql() as server, network_namespaces(max(given.replicas) if given.namespaces else 0) as hosts:
        for count in given.replicas:
            for name, checkout in programs.items():
                setting = Setting(checkout, count, hosts[:count])
                figures[name][str(count)] = measure(given.accounts, setting, server, given.milliseconds)
                print(name, count, json.dumps(figures[name][str(count)]), file=sys.stderr, flush=True)
    for measured in figures.values():
        one = measured[str(given.replicas[0])]["from the first step"]
        measured["ratios of the times"] = {
            count: round(each["from the first step"] / one, 2) for count, each in measured.items()
        }
    report("replicas", {"accounts": given.accounts, "milliseconds": given.milliseconds, **figures})


if __name__ == "__main__":
    main()
