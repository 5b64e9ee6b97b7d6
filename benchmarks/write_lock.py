"""What the write lock of PostgreSQL is held for: intents, creates and ends of many jobs, without providers and HTTP.

    python benchmarks/write_lock.py --accounts 200 --replicas 1 2 4 --milliseconds 0.5 --before CHECKOUT

Each replica is a process that records three outcomes for each of its jobs, of fifty jobs at once: the intent to
submit, the created job, and the end. The relay (`distance.py`) adds the time of a network, and counts what happens in
the lock. It needs less CPU than `replicas.py`; the statements hardly depend on the load of the machine, the times do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT, clean, report

CONCURRENCY = 50
PAUSE_SECONDS = 0.05  # as long as a call takes in `replicas.py`


@dataclass(frozen=True, slots=True)
class StoppedClock:
    """A clock that shows the time of the stored rows."""

    time: float

    def now(self) -> float:
        """Return the time."""
        return self.time

    boottime = now


async def prepare(url: str, accounts: int) -> None:
    """Store a ready job for each account."""
    from store_values import DATASET, NOW, RUN, a_job, a_standing

    from orchestrator.core.jobs.lifecycle import JobState
    from orchestrator.store.db.database import Database
    from orchestrator.store.db.transaction import Transaction
    from orchestrator.store.queries import accounts as account_queries
    from orchestrator.store.queries import jobs, runs

    names = [f"a{number}" for number in range(accounts)]

    async def fill(tx: Transaction) -> None:
        await runs.save_dataset(tx, DATASET, NOW)
        await runs.save(tx, RUN)
        await account_queries.add_many(tx, [a_standing(name) for name in names])
        await jobs.assign_to_run(tx, RUN.id, [a_job(name, state=JobState.READY) for name in names])

    database = Database(url)
    await database.migrate()
    await database.write(fill)
    await database.close()


async def work(url: str, first: int, after: int) -> None:
    """Record the outcomes of a range of jobs; a line on stdin starts it. Prints the CPU of that."""
    import structlog
    from store_values import NOW, a_job

    from orchestrator.core.account import Account, ProviderName
    from orchestrator.core.errors import DatabaseUnavailable, StaleJob
    from orchestrator.core.jobs.job import Job
    from orchestrator.core.jobs.lifecycle import JobEvent, JobState
    from orchestrator.core.jobs.transitions import Outcome, advance
    from orchestrator.core.secret import Redactor
    from orchestrator.daemon.outcome_recorder import OutcomeRecorder
    from orchestrator.store.db.database import Database

    database, turns = Database(url), asyncio.Semaphore(CONCURRENCY)
    structlog.configure(processors=[_drop])
    log: Any = structlog.wrap_logger(None, processors=[_drop], wrapper_class=structlog.stdlib.BoundLogger)
    recorder = OutcomeRecorder(database, {}, redact=Redactor(), clock=StoppedClock(NOW), replica=f"r{first}", log=log)

    async def record(outcome: Outcome, **options: Any) -> Job:
        while True:
            try:
                return await recorder.record(outcome, **options)
            except DatabaseUnavailable:  # on a loaded machine the server ends a transaction that waits too long
                await asyncio.sleep(PAUSE_SECONDS)
            except StaleJob:  # it was recorded, and the answer was lost
                return outcome.job

    async def train(name: str) -> None:
        account = Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY")
        async with turns:
            job = a_job(name, state=JobState.READY)
            until = {"intent_until": NOW + 30, "wake_at": NOW + 30, "submitted_at": NOW}
            job = await record(advance(job, JobEvent.SUBMIT_STARTED, now=NOW, **until), limits_of=account)
            await asyncio.sleep(PAUSE_SECONDS)
            created = advance(job, JobEvent.REMOTE_CREATED, now=NOW, remote_job_id=f"ftjob-{name}")
            job = await record(created, rebase_on_cancel=True)
            await asyncio.sleep(PAUSE_SECONDS)
            ended = advance(job, JobEvent.REMOTE_SUCCEEDED, now=NOW, fine_tuned_model=f"ft:{name}")
            await record(ended, rebase_on_cancel=True)

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    before = time.process_time()
    await asyncio.gather(*(train(f"a{number}") for number in range(first, after)))
    print(time.process_time() - before, flush=True)
    await database.close()


def _drop(_logger: object, _method: str, _values: object) -> Any:
    import structlog

    raise structlog.DropEvent


def measure(checkout: Path, replicas: int, accounts: int, milliseconds: float, server: Any) -> dict[str, Any]:
    """Run the replicas together; what was seen in the lock."""
    from replicas import Relay

    name = server.create().partition("?")[0].rpartition("/")[2]
    environment = clean(PYTHONPATH=f"{checkout}{os.pathsep}{checkout / 'tests/integration/helpers'}")
    command = [sys.executable, __file__, "--url", f"postgresql+asyncpg://{server.url.partition('://')[2]}"]
    subprocess.run([*command, "--accounts", str(accounts)], env=environment, check=True)
    bounds = [accounts * number // replicas for number in range(replicas + 1)]
    with Relay(server, milliseconds, []) as relay:
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{relay.port}/{name}?ssl=disable"
        command = [sys.executable, __file__, "--url", url, "--jobs"]
        started = [
            subprocess.Popen([*command, *map(str, part)], env=environment, **_pipes())
            for part in itertools.pairwise(bounds)
        ]
        for process in started:
            process.stdout.readline()
        before, begin = server.cpu, time.perf_counter()
        for process in started:
            process.stdin.write("begin\n")
            process.stdin.flush()
        cpu = sum(float(process.stdout.readline()) for process in started)
        wall, served = time.perf_counter() - begin, server.cpu - before
        for process in started:
            process.communicate()
    return _figures(relay.seen, wall, {"replicas": cpu, "server": served}, accounts)


def _pipes() -> dict[str, Any]:
    return {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def _figures(seen: dict[str, float], wall: float, cpu: dict[str, float], accounts: int) -> dict[str, Any]:
    return {
        "wall": round(wall, 2),
        "cpu ms an account": {name: round(1000 * used / accounts, 2) for name, used in cpu.items()},
        "transactions": seen["transactions"],
        "outcomes a transaction": round(3 * accounts / seen["transactions"], 1),
        "statements a transaction": round(seen["statements"] / seen["transactions"], 1),
        "statements an account": round(seen["statements"] / accounts, 2),
        "lock held ms an account": round(1000 * seen["held_seconds"] / accounts, 2),
        "share of the time": round(seen["held_seconds"] / wall, 2),
        "of it for the next statement": round(seen["idle_seconds"] / seen["held_seconds"], 2),
    }


def compare(accounts: int, counts: Sequence[int], milliseconds: float, before: Path | None) -> None:
    """Print the comparison as JSON."""
    from server import postgresql

    programs = {"before": before, "now": ROOT} if before else {"now": ROOT}
    figures: dict[str, dict[str, Any]] = {name: {} for name in programs}
    with postgresql() as server:
        for count in counts:
            for name, checkout in programs.items():
                assert checkout is not None
                figures[name][str(count)] = measure(checkout, count, accounts, milliseconds, server)
                print(name, count, json.dumps(figures[name][str(count)]), file=sys.stderr, flush=True)
    report("write_lock", {"accounts": accounts, "milliseconds": milliseconds, **figures})


def main() -> None:
    """Compare, or be one of the processes that are compared."""
    parser = argparse.ArgumentParser(description="Measure what the write lock is held for.")
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--milliseconds", type=float, default=0.5, help="of a round trip to the database")
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.jobs:
        asyncio.run(work(given.url, *given.jobs))
    elif given.url:
        asyncio.run(prepare(given.url, given.accounts))
    else:
        compare(given.accounts, given.replicas, given.milliseconds, given.before)


if __name__ == "__main__":
    main()
