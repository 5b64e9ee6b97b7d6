"""Thousands of jobs that wait: what following them each minute costs, and what it writes.

    python benchmarks/idle.py --jobs 10000 --seconds 120
    python benchmarks/idle.py --jobs 10000 --seconds 120 --database postgresql

The provider says each time that the job is running. Rows are counted before and after: an unchanged poll leaves none.
On PostgreSQL the server's CPU is told apart, and how large the tables of the queue became, which must not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crowd import prepare
from harness import provider, report
from served import Served, serving
from server import Server, postgresql

TABLES = ("jobs", "events", "losses", "announcements", "moderations", "uploads")
QUEUE = ("pgqueuer", "pgqueuer_log", "leases")
LOOK_SECONDS = 10.0
START_SECONDS = 5.0  # which is another matter
SETTINGS = {
    "ORCHESTRATOR_POLL_MIN_SECONDS": "60",
    "ORCHESTRATOR_POLL_MAX_SECONDS": "60",
    "ORCHESTRATOR_LOG_LEVEL": "info",
}


def rows(folder: Path) -> int:
    """How many rows the tables of a SQLite file have."""
    with sqlite3.connect(folder / "data" / "orchestrator.db") as database:
        return sum(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES)


def watch(
    served: Served, url: str, seconds: float, server: Server | None, count: Callable[[], int]
) -> dict[str, Any]:
    """Measure the CPU and the rows of the given number of seconds."""
    time.sleep(START_SECONDS)
    before, cpu, asked = count(), served.cpu, _calls(url)
    of_server, begin = server.cpu if server else 0.0, time.perf_counter()
    largest: dict[str, tuple[int, int]] = {}
    while (passed := time.perf_counter() - begin) < seconds:
        time.sleep(min(LOOK_SECONDS, seconds - passed))
        for table in QUEUE if server else ():
            largest[table] = max(largest.get(table, (0, 0)), (server.count(table), server.size(table)))
    used, asked = served.cpu - cpu, _calls(url) - asked
    figures = {
        "requests": asked,
        "share of a core": round(used / passed, 3),
        "cpu ms a request": round(1000 * used / max(asked, 1), 2),
        "new rows": count() - before,
        "peak memory MB": round(served.memory),
    }
    if server is None:
        return figures
    sizes = {table: {"most rows": count, "MB": round(size / 1e6, 1)} for table, (count, size) in largest.items()}
    return {**figures, "the server's share of a core": round((server.cpu - of_server) / passed, 3), "queue": sizes}


def _calls(url: str) -> int:
    return int(urllib.request.urlopen(url + "/calls").read())


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure a service whose jobs only wait.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(provider(0.05, "--running"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgresql()) if given.database == "postgresql" else None
        settings = {"ORCHESTRATOR_DATABASE_URL": server.create()} if server else {}
        prepare(folder, url, given.jobs, state="running", database=settings.get("ORCHESTRATOR_DATABASE_URL", ""))
        served = stack.enter_context(serving(folder, **SETTINGS, **settings))
        count = (lambda: sum(map(server.count, TABLES))) if server else lambda: rows(folder)
        figures = watch(served, url, given.seconds, server, count)
    name = "idle" if server is None else "idle-postgresql"
    report(name, {"jobs": given.jobs, "seconds": given.seconds, **figures})


if __name__ == "__main__":
    main()
