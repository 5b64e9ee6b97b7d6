"""The web application on a database of many jobs, as a process of its own: the subject of `status_at_scale.py`.

    PYTHONPATH=. python benchmarks/scale_app.py FOLDER --jobs 100000

Prints its base URL. Routes, caches, queries and the server are the program's own; only the service that follows the
jobs is replaced by a task that changes as many of them a second as `/bench?changes=N` says. `/bench` returns what the
process has cost so far. The database is filled with the store's own functions and statements on its own tables.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine, event, text, update

from orchestrator import status
from orchestrator.app.clock import SystemClock
from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.spec import TrainingSpec
from orchestrator.status import Health
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts, jobs, runs
from orchestrator.store.schema.tables import jobs as jobs_table
from orchestrator.web.app import create_app
from orchestrator.web.backend import WebBackend
from orchestrator.web.server import WebServer

SEED = "a0000000"
"""Account of the first job; the others are copies of its rows with other numbers."""
FAILED = json.dumps({"kind": "request_rejected", "message": "The file has no examples.", "hint": "Check the chats."})
HOLD = json.dumps({"kind": "by_operator", "reason": "A holiday.", "hint": "Run `orchestrator release`."})
CHANGE_SECONDS = 0.1


async def fill(database: Database, count: int, now: float) -> None:
    """Store a run of `count` jobs: 60 % running, 30 % succeeded, the rest ready, failed and held."""
    run = Run(
        id=RunId("bench-run"),
        name="bench",
        dataset_sha256="5" * 64,
        specs={ProviderName.OPENAI: TrainingSpec(base_model="gpt-4.1-mini-2025-04-14", n_epochs=3, seed=42)},
        created_at=now - 4000,
        started_at=now - 4000,
    )
    part = DatasetPart(path=Path("datasets/bench.jsonl"), sha256="5" * 64, bytes=30_000, examples=40, tokens=9_000)

    async def change(tx: Transaction) -> None:
        await runs.save_dataset(tx, Dataset(training=part), now)
        await runs.save(tx, run)
        await runs.set_current(tx, [run.id])
        account = AccountState(
            name=SEED,
            provider=ProviderName.OPENAI,
            definition="d",
            key_fingerprint="12345678",
            verified_at=now,
            organization="org-bench",
            labels=("eu", "batch-7"),
        )
        await accounts.save(tx, account)
        job = Job(
            id=JobId(SEED),
            run_id=run.id,
            account=SEED,
            provider=ProviderName.OPENAI,
            base_model="gpt-4.1-mini-2025-04-14",
            hyperparameters={"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8},
            estimated_usd=0.12,
            wake_at=now + 60,
            created_at=now - 4000,
            state_since=now - 600,
        )
        await jobs.assign_to_run(tx, run.id, [job])
        for statement in multiply(count):
            await tx.connection.exec_driver_sql(statement)
        for condition, values in states(now):
            await tx.connection.exec_driver_sql(f"UPDATE jobs SET {values} WHERE {condition}")
        for note in ("uploaded", "created", "remote running"):
            await tx.connection.exec_driver_sql(
                "INSERT INTO events (at, cause, account, run_id, job_id, note, state_before, state_after) "
                f"SELECT {now}, 'service', account, run_id, id, '{note}', 'planned', state FROM jobs"
            )

    await database.write(change)


def multiply(count: int) -> list[str]:
    """Return statements that copy the rows of the first account and its job."""
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 1})"
    name, digest = "printf('a%07d', n)", "printf('%032x', n * 2654435761)"
    changed = {
        "accounts": {"name": name, "key_fingerprint": "printf('%08x', n)", "definition": "printf('%032x', n)"},
        "jobs": {"id": digest, "account": name},
        "run_jobs": {"job_id": digest},
    }
    columns = {
        "accounts": [column.name for column in accounts.accounts.c],
        "jobs": [column.name for column in jobs_table.c],
        "run_jobs": ["run_id", "job_id"],
    }
    return [
        f"{numbers} INSERT INTO {table} ({', '.join(columns[table])}) "
        f"SELECT {', '.join(values.get(column, column) for column in columns[table])} "
        f"FROM (SELECT * FROM {table} LIMIT 1), numbers"
        for table, values in changed.items()
    ]


def states(now: float) -> list[tuple[str, str]]:
    """Return which jobs get which values."""
    number = "CAST(substr(account, 2) AS INTEGER) % 100"
    sent = f"remote_file_id = 'file-' || id, remote_job_id = 'ftjob-' || id, submitted_at = {now - 900}"
    started = f"{sent}, state = 'running', remote_status = 'running', estimated_finish = {now} + 3600 + rowid % 3600"
    done = (
        f"{sent}, state = 'succeeded', remote_status = 'succeeded', wake_at = NULL, finished_at = {now - 60}, "
        "fine_tuned_model = 'ft:gpt-4.1-mini-2025-04-14:bench::' || id, servable = 1, trained_tokens = 27000, "
        "retires_on = '2999-01-01'"
    )
    return [
        (f"{number} < 60", started),
        (f"{number} BETWEEN 60 AND 89", done),
        (f"{number} BETWEEN 90 AND 93", "state = 'ready', remote_file_id = 'file-' || id"),
        (
            f"{number} BETWEEN 94 AND 96",
            f"{sent}, state = 'failed', wake_at = NULL, failure = '{FAILED}'",
        ),
        (f"{number} > 96", f"state = 'ready', wake_at = NULL, hold = '{HOLD}'"),
    ]


class Changer:
    """Changes the progress of running jobs, so many a second, and writes an event for each."""

    def __init__(self, database: Database, ids: list[tuple[str, str]]) -> None:
        self.per_second = 0.0
        self._database = database
        self._ids = itertools.cycle(ids)

    async def run(self) -> None:
        """Change jobs until cancelled."""
        owed = 0.0
        while True:
            await asyncio.sleep(CHANGE_SECONDS)
            owed += self.per_second * CHANGE_SECONDS
            batch = [next(self._ids) for _ in range(int(owed))]
            owed -= len(batch)
            if batch:
                await self._database.write(lambda tx, batch=batch: self._change(tx, batch))  # type: ignore[misc]

    async def _change(self, tx: Transaction, batch: list[tuple[str, str]]) -> None:
        now = time.time()  # noqa: TID251
        for job, account in batch:
            values = {"version": jobs_table.c.version + 1, "changed_at": now, "trained_tokens": int(now)}
            await tx.connection.execute(update(jobs_table).where(jobs_table.c.id == job).values(values))
            tx.add_events(
                EventData(
                    at=now,
                    cause="service",
                    note="remote running",
                    account=account,
                    run_id="bench-run",
                    job_id=job,
                    state_before="running",
                    state_after="running",
                )
            )


async def is_healthy() -> Health:
    """Answer for the service that this process does not run."""
    return Health(database=True, ticking=True)


def build_backend(database: Database) -> WebBackend:
    """Build the backend with the real database and no service."""

    shared_reads = status.SharedReads()

    async def call(function: Any, /, *arguments: Any, **options: Any) -> Any:
        return await shared_reads.call(function, database, *arguments, **options)

    async def ignore(*_: Any) -> Any:
        return False

    clock = SystemClock()
    return WebBackend(
        now=clock.now,
        boottime=clock.boottime,
        call_with_database=call,
        check_health=is_healthy,
        render_metrics=repr,  # type: ignore[arg-type]
        list_tokens=lambda: status.list_tokens(database),
        record_token_use=ignore,
        session_key=b"benchmark",
        receive_webhook=ignore,
        committed=database.committed,
    )


def add_bench_route(app: FastAPI, changer: Changer, queries: Counter[str]) -> None:
    """Add the route that sets the number of changes, and returns the costs so far."""

    @app.get("/bench")
    def bench(changes: float | None = None) -> dict[str, Any]:
        if changes is not None:
            changer.per_second = changes
        usage = resource.getrusage(resource.RUSAGE_SELF)
        memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
        return {
            "queries": queries["SELECT"],
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak_mb": int(memory.split()[1]) / 1024,
        }

    app.router.routes.insert(0, app.router.routes.pop())  # before the mounted static files


def prepare(folder: Path, count: int) -> None:
    """Create and fill the database in a child process, whose memory does not count."""

    async def create() -> None:
        database = Database(f"sqlite:///{folder / 'scale.db'}")
        await database.migrate()
        await fill(database, count, time.time())  # noqa: TID251
        await database.close()

    child = os.fork()
    if child == 0:
        asyncio.run(create())
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the database could not be filled")


async def serve(folder: Path) -> None:
    """Serve until killed."""
    database = Database(f"sqlite:///{folder / 'scale.db'}")
    async with database.read() as connection:
        rows = await connection.execute(text("SELECT id, account FROM jobs WHERE state = 'running' ORDER BY rowid"))
        changer = Changer(database, [(job, account) for job, account in rows])
    queries: Counter[str] = Counter()
    event.listen(Engine, "before_cursor_execute", lambda *given: queries.update([given[2].split(None, 1)[0]]))
    app = create_app(build_backend(database))
    add_bench_route(app, changer, queries)
    port = await WebServer(app, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{port}/", flush=True)
    await changer.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the web application on a database of many jobs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=100_000)
    given = parser.parse_args()
    prepare(given.folder, given.jobs)
    asyncio.run(serve(given.folder))
