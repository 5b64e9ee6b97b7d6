"""`orchestrator check` of a large file with all processors against one, and against an earlier revision.

    PYTHONPATH=. python benchmarks/check_processes.py --megabytes 512 --rounds 3 --before CHECKOUT

All of them read chats that `dataset.py` makes from a seed, with and without tokens, and take turns. The check with
one processor is bound to it, so the program itself decides to use one process. Results of an earlier check are not
used (`ORCHESTRATOR_CHECK_CACHE_MB=0`). Memory is that of the largest process; the output must be the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset import ACCOUNTS, make
from harness import ROOT, Cost, clean, measure, orchestrator, report, summary

FIGURES = ("cpu", "wall", "memory")


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkout of the program, and the number of processors that it may use."""

    checkout: Path
    processors: int


def check(subject: Subject, folder: Path, chats: Path) -> tuple[Cost, str]:
    """Check the chats; the cost and the output."""
    allowed = os.sched_getaffinity(0)
    environment = clean(PYTHONPATH=str(subject.checkout), ORCHESTRATOR_CHECK_CACHE_MB="0")
    os.sched_setaffinity(0, sorted(allowed)[: subject.processors])
    try:
        cost = measure(orchestrator("check", str(chats), "--format", "json"), folder, environment)
    finally:
        os.sched_setaffinity(0, allowed)
    return cost, (folder / "output.log").read_text()


def compare(folder: Path, chats: Path, subjects: dict[str, Subject], rounds: int) -> dict[str, Any]:
    """Let the subjects take turns; their figures and ratios."""
    costs: dict[str, list[Cost]] = {name: [] for name in subjects}
    outputs = set()
    for _ in range(rounds):
        for name, subject in subjects.items():
            cost, output = check(subject, folder, chats)
            costs[name].append(cost)
            outputs.add(output)
    if len(outputs) != 1:
        raise SystemExit("the outputs differ")
    found = {
        name: {figure: summary([getattr(cost, figure) for cost in given]) for figure in FIGURES}
        for name, given in costs.items()
    }
    megabytes = chats.stat().st_size / 1e6
    ratios = {
        f"{figure} of {name} / {figure} of one": found[name][figure]["median"] / found["one"][figure]["median"]
        for name in subjects
        if name != "one"
        for figure in ("cpu", "wall")
    }
    return {
        **found,
        "megabytes a second of CPU": {name: megabytes / each["cpu"]["median"] for name, each in found.items()},
        **ratios,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Compare checks with one processor, with all, and of a revision.")
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    given = parser.parse_args()
    subjects = {"one": Subject(ROOT, 1), "all": Subject(ROOT, len(os.sched_getaffinity(0)))}
    if given.before:
        subjects["before"] = Subject(given.before.resolve(), 1)
    with tempfile.TemporaryDirectory() as name:
        chats = Path(name, "chats.jsonl")
        figures: dict[str, Any] = {
            "megabytes": given.megabytes,
            "chats": make(chats, given.megabytes, given.seed),
            "processors": subjects["all"].processors,
        }
        for kind, accounts in (("without tokens", ""), ("with tokens", ACCOUNTS)):
            folder = Path(name, kind)
            folder.mkdir()
            if accounts:
                (folder / "accounts.toml").write_text(accounts)
            figures[kind] = compare(folder, chats, subjects, given.rounds)
    report("check processes", figures)


if __name__ == "__main__":
    main()
