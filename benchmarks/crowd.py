"""A crowd: an accounts file, and a database in which its jobs have come so far as a benchmark asks for."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

from harness import ROOT

CONCURRENCY = 50
RUN = f"""\
[run]
name = "bench"
dataset = "{ROOT / "chats"}"
moderation_waived = "benchmark"
[run.openai]
base_model = "gpt-4.1-mini-2025-04-14"
n_epochs = 3
"""


def write_accounts(folder: Path, url: str, accounts: int) -> None:
    """An accounts file of so many accounts, each with a key of its own."""
    (folder / "keys").mkdir()
    for number in range(accounts):
        (folder / "keys" / str(number)).write_text(f"key-{number}")
    entries = (
        f'[[accounts]]\nname = "a{number}"\nprovider = "openai"\napi_key = "file:keys/{number}"\nbase_url = "{url}"\n'
        for number in range(accounts)
    )
    (folder / "accounts.toml").write_text(RUN + "".join(entries))


def prepare(folder: Path, url: str, jobs: int, *, state: str, spread: float = 60.0, finished: int = 0) -> None:
    """A run of so many jobs in this state, due within the next `spread` seconds; and old runs of finished ones."""
    write_accounts(folder, url, jobs)
    child = os.fork()  # so that what the benchmark itself needs stays small
    if child == 0:
        _converge(folder)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the database could not be prepared")
    with sqlite3.connect(folder / "data" / "orchestrator.db") as database:
        _move(database, state, spread)
        for number in range(-(-finished // jobs) if finished else 0):
            _finish(database, f"old-{number}", min(jobs, finished - number * jobs))


def _converge(folder: Path) -> None:
    from orchestrator.app import open_app
    from orchestrator.core.secret import Redactor
    from orchestrator.settings import load_settings

    os.chdir(folder)
    redact = Redactor()

    async def converge() -> None:
        async with open_app(load_settings({}), redact) as app:
            await app.converge(start=True)

    asyncio.run(converge())


def _move(database: sqlite3.Connection, state: str, spread: float) -> None:
    now = time.time()  # noqa: TID251
    done = state == "succeeded"
    database.execute("UPDATE accounts SET verified_at = ?, organization = 'org-bench'", (now,))
    database.execute(
        "UPDATE jobs SET state = ?, remote_file_id = 'file-' || rowid, remote_job_id = 'ftjob-' || rowid, "
        "remote_status = ?, submitted_at = ?, state_since = ?, losses_at = ?, hyperparameters = '{\"n_epochs\": 3}', "
        "wake_at = ?, finished_at = ?, fine_tuned_model = ?",
        (
            state,
            state,
            now - 600,
            now - 600,
            now,
            None if done else now,
            now if done else None,
            "ft:m" if done else None,
        ),
    )
    if not done:
        database.execute("UPDATE jobs SET wake_at = ? + abs(random() % 1000) / 1000.0 * ?", (now, spread))
    for _ in range(5):  # the lines of a usual history
        database.execute(
            "INSERT INTO events (at, cause, account, run_id, job_id, note, state_before, state_after) "
            "SELECT ?, 'service', account, run_id, id, 'step', 'planned', state FROM jobs",
            (now,),
        )


def _finish(database: sqlite3.Connection, run: str, jobs: int) -> None:
    """A run of before, with so many finished jobs."""
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
