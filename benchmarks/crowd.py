"""Builds an accounts file of many accounts, and a database with their jobs in the state that a benchmark needs."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness import ROOT
from sqlalchemy import text

if TYPE_CHECKING:
    from orchestrator.store.db.transaction import Transaction

CONCURRENCY = 50
RUN = f"""\
[run]
name = "bench"
dataset = "{ROOT / "chats"}"
moderation_waived = "benchmark"
[run.openai]
base_model = "sandbox-small"
n_epochs = 3
"""


def write_accounts(folder: Path, url: str, accounts: int) -> None:
    """Write an accounts file with the given number of accounts, each with a key of its own."""
    (folder / "keys").mkdir()
    for number in range(accounts):
        (folder / "keys" / str(number)).write_text(f"bench-key-{number}")
    entries = (
        f'[[accounts]]\nname = "a{number}"\nprovider = "openai"\napi_key = "file:keys/{number}"\nbase_url = "{url}"\n'
        for number in range(accounts)
    )
    (folder / "accounts.toml").write_text(RUN + "".join(entries))


def prepare(
    folder: Path, url: str, jobs: int, *, state: str, spread: float = 60.0, finished: int = 0, database: str = ""
) -> None:
    """Store a run of jobs in one state, due within the next `spread` seconds, and old runs of finished jobs.

    In a SQLite file in the folder, unless another `database` is given, which has no old runs.
    """
    write_accounts(folder, url, jobs)
    child = os.fork()  # so that what the benchmark itself needs stays small
    if child == 0:
        asyncio.run(_fill(folder, state, spread, database))
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the database could not be prepared")
    if finished:
        with sqlite3.connect(folder / "data" / "orchestrator.db") as file:
            for number in range(-(-finished // jobs)):
                _finish(file, f"old-{number}", min(jobs, finished - number * jobs))


async def _fill(folder: Path, state: str, spread: float, database: str) -> None:
    from orchestrator.app import open_app
    from orchestrator.core.secret import Redactor
    from orchestrator.settings import load_settings

    os.chdir(folder)
    settings = load_settings({"ORCHESTRATOR_DATABASE_URL": database} if database else {})
    async with open_app(settings, Redactor()) as app:
        await app.accounts_file_applier.apply(start=True, cause="service")
        if database:  # the wake-ups of jobs that have not begun
            await app.database.write(lambda tx: tx.connection.execute(text("TRUNCATE pgqueuer, pgqueuer_log")))
        await app.database.write(lambda tx: _move(tx, state, spread))


async def _move(tx: Transaction, state: str, spread: float) -> None:
    """Store every job in the given state."""
    from orchestrator.store.queries.jobs import list_overdue

    sqlite = tx.connection.sync_connection.dialect.name == "sqlite"
    now, done = time.time(), state == "succeeded"  # noqa: TID251
    await tx.connection.execute(text(f"UPDATE accounts SET verified_at = {now}, organization = 'org-bench'"))
    await tx.connection.execute(
        text(
            f"UPDATE jobs SET state = '{state}', remote_file_id = 'file-' || id, remote_job_id = 'ftjob-' || id, "
            f"remote_status = '{state}', submitted_at = {now - 600}, state_since = {now - 600}, losses_at = {now}, "
            f"hyperparameters = '{{\"n_epochs\"\\: 3}}', "
            + (
                f"wake_at = NULL, finished_at = {now}, fine_tuned_model = 'ft' || id"
                if done
                else f"wake_at = {now} + {spread} * {'abs(random() % 1000) / 1000.0' if sqlite else 'random()'}"
            )
        )
    )
    for _ in range(5):  # the lines of a usual history
        lines = "SELECT :now, 'service', account, run_id, id, 'step', 'planned', state FROM jobs"
        columns = "at, cause, account, run_id, job_id, note, state_before, state_after"
        await tx.connection.execute(text(f"INSERT INTO events ({columns}) {lines}"), {"now": now})
    tx.schedule_wake_ups(await list_overdue(tx.connection, now + spread, now + spread, limit=1_000_000))


def _finish(database: sqlite3.Connection, run: str, jobs: int) -> None:
    """Store an earlier run of finished jobs."""
    _copy(database, "runs", {"id": f"'{run}'", "current": "0"}, "WHERE current = 1")
    changes = {
        "id": f"'{run}-' || rowid",
        "run_id": f"'{run}'",
        "state": "'succeeded'",
        "wake_at": "NULL",
        "finished_at": "state_since",
        "fine_tuned_model": "'ft:m'",
    }
    _copy(database, "jobs", changes, f"WHERE run_id NOT LIKE 'old-%' LIMIT {jobs}")
    database.execute("INSERT INTO run_jobs (run_id, job_id) SELECT run_id, id FROM jobs WHERE run_id = ?", (run,))
    database.execute(
        "INSERT INTO events (at, cause, account, run_id, job_id, note) "
        "SELECT created_at, 'service', account, run_id, id, 'remote succeeded' FROM jobs WHERE run_id = ?",
        (run,),
    )


def _copy(database: sqlite3.Connection, table: str, changes: dict[str, str], which: str) -> None:
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(changes.get(name, name) for name in names)
    database.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} {which}")
