"""Thousands of jobs that wait: what following them each minute costs, and what it writes.

    python benchmarks/idle.py --jobs 10000 --seconds 120

The provider says each time that the job is running. Rows are counted before and after: an unchanged poll leaves none.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
import urllib.request
from pathlib import Path

from crowd import prepare
from harness import provider, report
from served import serving

TABLES = ("jobs", "events", "losses", "announcements", "moderations", "leases", "uploads")


def rows(folder: Path) -> dict[str, int]:
    """How many rows each table has."""
    with sqlite3.connect(folder / "data" / "orchestrator.db") as database:
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def main() -> None:
    """Tell the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure a service whose jobs only wait.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    with provider(0.05, "--running") as url, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, url, given.jobs, state="running")
        with serving(
            folder,
            ORCHESTRATOR_POLL_MIN_SECONDS="60",
            ORCHESTRATOR_POLL_MAX_SECONDS="60",
            ORCHESTRATOR_LOG_LEVEL="info",
        ) as served:
            time.sleep(5)  # the start is another matter
            before, cpu = rows(folder), served.cpu
            calls = int(urllib.request.urlopen(url + "/calls").read())
            time.sleep(given.seconds)
            used, asked = served.cpu - cpu, int(urllib.request.urlopen(url + "/calls").read()) - calls
            after, memory = rows(folder), served.memory
    report(
        "idle",
        {
            "jobs": given.jobs,
            "seconds": given.seconds,
            "requests": asked,
            "share of a core": round(used / given.seconds, 3),
            "cpu ms a request": round(1000 * used / max(asked, 1), 2),
            "new rows": sum(after.values()) - sum(before.values()),
            "peak memory MB": round(memory),
        },
    )


if __name__ == "__main__":
    main()
