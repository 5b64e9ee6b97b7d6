"""One replica against two on one PostgreSQL: wall time of the main job, and the CPU of each process for an account.

    python benchmarks/replicas.py --accounts 10000

The replicas start together, on an empty database; the wall time is that from their start to the last job's end. They
share the cores with the server and the fake provider, so the CPU of all of them is told: where it adds up to
what the cores have, no second replica can help. All replicas write one after another, under one lock: how much
of the time somebody has it is told as well, and what for, seen fifty times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import asyncpg
from crowd import CONCURRENCY, write_accounts
from harness import clean, orchestrator, provider_process, report
from served import cpu_of
from server import Server, postgresql

SETTINGS = {
    "ORCHESTRATOR_POLL_MIN_SECONDS": "0.01",
    "ORCHESTRATOR_MAX_IN_FLIGHT": f"{CONCURRENCY}",
    "ORCHESTRATOR_LOG_LEVEL": "warning",
    "ORCHESTRATOR_PORT": "0",
}
LOOK_SECONDS = 2.0
SAMPLE_SECONDS = 0.02
WRITER = (
    "SELECT coalesce(wait_event, state) FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted"
)
WHAT_FOR = {"ClientRead": "the replica's next statement", "active": "a statement", "WalSync": "the disk"}
THERE = "SELECT to_regclass('jobs') IS NOT NULL"
ENDED = "SELECT count(*), max(finished_at) FROM jobs WHERE state = 'succeeded'"
SHARES = "SELECT count(*) FROM jobs GROUP BY replica ORDER BY 1 DESC"


@contextmanager
def replicas(folder: Path, server: Server, count: int) -> Iterator[list[int]]:
    """Start the services on an empty database; yield their process ids."""
    environment = clean(**SETTINGS, ORCHESTRATOR_DATABASE_URL=server.create())
    with (folder / "serve.log").open("wb") as log:
        started = [
            subprocess.Popen(orchestrator("serve"), cwd=folder, env=environment, stdout=log, stderr=log)
            for _ in range(count)
        ]
        try:
            yield [process.pid for process in started]
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()


def last_end(server: Server, accounts: int) -> float:
    """Wait for every job to have succeeded; when the last one did, in epoch seconds."""
    while True:
        time.sleep(LOOK_SECONDS)
        if server.rows(THERE)[0][0]:
            [(ended, at)] = server.rows(ENDED)
            if ended == accounts:
                return float(at)


@contextmanager
def writing(url: str) -> Iterator[Counter[str]]:
    """How often the write lock was free, and what its holder waited for, while this lasts."""
    seen: Counter[str] = Counter()
    over = Event()

    async def sample() -> None:
        connection = await asyncpg.connect(url)
        while not over.is_set():
            held = await connection.fetchval(WRITER)
            seen[WHAT_FOR.get(held, held) if held else "free"] += 1
            await asyncio.sleep(SAMPLE_SECONDS)
        await connection.close()

    watcher = Thread(target=lambda: asyncio.run(sample()))
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def measure(accounts: int, count: int, server: Server) -> dict[str, Any]:
    """Run the main job with the given number of replicas."""
    with provider_process(0.05) as (url, pid), tempfile.TemporaryDirectory() as place:
        write_accounts(Path(place), url, accounts)
        before, begin = server.cpu, time.time()  # noqa: TID251
        with replicas(Path(place), server, count) as pids, writing(server.url) as seen:
            wall = last_end(server, accounts) - begin
            cpu = {"replicas": sum(map(cpu_of, pids)), "server": server.cpu - before, "provider": cpu_of(pid)}
        return {
            "wall": round(wall, 1),
            "cores used": round(sum(cpu.values()) / wall, 2),
            "cpu ms an account": {name: round(1000 * seconds / accounts, 2) for name, seconds in cpu.items()},
            "write lock": {name: round(times / seen.total(), 2) for name, times in seen.most_common()},
            "jobs of each": [share for (share,) in server.rows(SHARES)],
        }


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare one replica with two.")
    parser.add_argument("--accounts", type=int, default=10_000)
    given = parser.parse_args()
    with postgresql() as server:
        one, two = (measure(given.accounts, count, server) for count in (1, 2))
    ratio = round(two["wall"] / one["wall"], 2)
    report("replicas", {"accounts": given.accounts, "one": one, "two": two, "ratio of the wall times": ratio})


if __name__ == "__main__":
    main()
