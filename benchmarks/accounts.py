"""The main job against the bare script: CPU, wall time and peak memory, as ratios in one run.

    python benchmarks/accounts.py --accounts 1000 --rounds 3
    python benchmarks/accounts.py --accounts 1000 --rounds 3 --database postgresql

Every account needs eight provider calls of 50 ms each in both; the provider counts them. Baseline and subject run in
turn; each is a process of its own, and the system measures it whole, its start included. The CPU of a PostgreSQL
server is reported separately.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from crowd import CONCURRENCY, write_accounts
from harness import HERE, Cost, clean, measure, orchestrator, provider, report, summary
from server import Server, postgresql


def bare(url: str, accounts: int, folder: Path) -> Cost:
    """Run the reference script."""
    file = folder / "training.jsonl"
    file.write_bytes(b"x" * 30_000)
    return measure([sys.executable, str(HERE / "bare.py"), url, str(accounts), str(CONCURRENCY), str(file)], folder)


def subject(url: str, accounts: int, folder: Path, server: Server | None) -> Cost:
    """`orchestrator run`, from an empty database."""
    write_accounts(folder, url, accounts)
    settings = {"POLL_MIN_SECONDS": "0.01", "MAX_IN_FLIGHT": str(CONCURRENCY), "LOG_LEVEL": "warning"}
    if server is not None:
        settings["DATABASE_URL"] = server.create()
    environment = clean(**{f"ORCHESTRATOR_{name}": value for name, value in settings.items()})
    return measure(orchestrator("run"), folder, environment)


def compare(accounts: int, rounds: int, server: Server | None) -> dict[str, Any]:
    """Alternate baseline and subject; medians, spread and their ratios."""
    ways: dict[str, Callable[[str, int, Path], Cost]] = {
        "bare": bare,
        "orchestrator": lambda url, accounts, folder: subject(url, accounts, folder, server),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    calls: dict[str, list[int]] = {name: [] for name in ways}
    beside: list[float] = []
    with provider(0.05) as url:
        for name, way in [*ways.items()] * rounds:
            before, idle = _calls(url), server.cpu if server else 0.0
            with tempfile.TemporaryDirectory() as folder:
                costs[name].append(way(url, accounts, Path(folder)))
            calls[name].append(_calls(url) - before)
            if server and name == "orchestrator":
                beside.append(server.cpu - idle)
    figures = {figure: {name: _of(costs[name], figure) for name in ways} for figure in ("cpu", "wall", "memory")}
    return {
        "accounts": accounts,
        "rounds": rounds,
        "calls": {name: statistics.median(made) for name, made in calls.items()},
        **{figure: {name: summary(values) for name, values in found.items()} for figure, found in figures.items()},
        **({"cpu of the database server": summary(beside)} if beside else {}),
        "ratio": {
            figure: round(statistics.median(found["orchestrator"]) / statistics.median(found["bare"]), 2)
            for figure, found in figures.items()
        },
    }


def _of(costs: list[Cost], figure: str) -> list[float]:
    return [getattr(cost, figure) for cost in costs]


def _calls(url: str) -> int:
    return int(urllib.request.urlopen(url + "/calls").read())


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare the main job with a bare script.")
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    with postgresql() if given.database == "postgresql" else nullcontext() as server:
        report(f"accounts-{given.accounts}-{given.database}", compare(given.accounts, given.rounds, server))


if __name__ == "__main__":
    main()
