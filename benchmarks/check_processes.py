"""`orchestrator check` of a large file with all processors, against the same check with one.

    PYTHONPATH=. python benchmarks/check_processes.py --megabytes 512 --rounds 3

Both read chats that `dataset.py` makes from a seed, with and without counting tokens, and take turns. The one with a
single processor is bound to it, so the program itself decides to use one process. Memory is that of the largest
process; the output of both must be the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from dataset import ACCOUNTS, make
from harness import Cost, measure, orchestrator, report, summary

FIGURES = ("cpu", "wall", "memory")


def check(folder: Path, chats: Path, processors: int) -> tuple[Cost, str]:
    """Check the chats on so many processors; the cost and the output."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:processors])
    try:
        cost = measure(orchestrator("check", str(chats), "--format", "json"), folder)
    finally:
        os.sched_setaffinity(0, allowed)
    return cost, (folder / "output.log").read_text()


def compare(folder: Path, chats: Path, rounds: int) -> dict[str, Any]:
    """Alternate one and all processors; figures of both and their ratios."""
    counts = {"one": 1, "all": len(os.sched_getaffinity(0))}
    costs: dict[str, list[Cost]] = {name: [] for name in counts}
    outputs = set()
    for _ in range(rounds):
        for name, processors in counts.items():
            cost, output = check(folder, chats, processors)
            costs[name].append(cost)
            outputs.add(output)
    if len(outputs) != 1:
        raise SystemExit("the outputs differ")
    found = {
        name: {figure: summary([getattr(cost, figure) for cost in given]) for figure in FIGURES}
        for name, given in costs.items()
    }
    megabytes = chats.stat().st_size / 1e6
    return {
        "processors": counts["all"],
        **found,
        "megabytes a second of CPU": {name: megabytes / each["cpu"]["median"] for name, each in found.items()},
        "wall of one / wall of all": found["one"]["wall"]["median"] / found["all"]["wall"]["median"],
        "cpu of all / cpu of one": found["all"]["cpu"]["median"] / found["one"]["cpu"]["median"],
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Compare checks with one processor and with all.")
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        chats = Path(name, "chats.jsonl")
        figures: dict[str, Any] = {
            "megabytes": given.megabytes,
            "chats": make(chats, given.megabytes, given.seed),
        }
        for kind, accounts in (("without tokens", ""), ("with tokens", ACCOUNTS)):
            folder = Path(name, kind)
            folder.mkdir()
            if accounts:
                (folder / "accounts.toml").write_text(accounts)
            figures[kind] = compare(folder, chats, given.rounds)
    report("check processes", figures)


if __name__ == "__main__":
    main()
