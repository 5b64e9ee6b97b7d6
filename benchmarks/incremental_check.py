"""`orchestrator check` after one chat changed, against the full check of the same chats.

    PYTHONPATH=. python benchmarks/incremental_check.py --chats 20000 --rounds 3

The chats are made by `dataset.py` from a seed: a folder with one file a chat, and one JSONL file of the same chats.
In each round one chat changes, and the full check (without results of earlier checks) and those with them take turns:
after the change, and again without one. All are processes of their own, measured whole, with the same output.
"first" is the check that finds no results and stores them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from dataset import ACCOUNTS, lines
from harness import Cost, clean, measure, orchestrator, report, summary

FIGURES = ("cpu", "wall", "memory")


def check(folder: Path, chats: Path, megabytes: int) -> tuple[Cost, str]:
    """Check the chats, with so many megabytes of results; the cost and the output."""
    environment = clean(ORCHESTRATOR_CHECK_CACHE_MB=str(megabytes), XDG_CACHE_HOME=str(folder / "cache"))
    cost = measure(orchestrator("check", str(chats), "--format", "json"), folder, environment)
    return cost, (folder / "output.log").read_text()


def compare(folder: Path, chats: Path, change: Callable[[int], object], rounds: int) -> dict[str, Any]:
    """Alternate full and incremental checks; figures of both and their ratios."""
    costs: dict[str, list[Cost]] = {
        "first": [check(folder, chats, 256)[0]],
        "full": [],
        "one changed": [],
        "none": [],
    }
    for number in range(rounds):
        change(number)
        outputs = set()
        for name, megabytes in (("full", 0), ("one changed", 256), ("none", 256)):
            cost, output = check(folder, chats, megabytes)
            costs[name].append(cost)
            outputs.add(output)
        if len(outputs) != 1:
            raise SystemExit("the outputs differ")
    found = {
        name: {figure: summary([getattr(cost, figure) for cost in given]) for figure in FIGURES}
        for name, given in costs.items()
    }
    full = found["full"]["cpu"]["median"]
    ratios = {f"cpu of {name} / full": each["cpu"]["median"] / full for name, each in found.items() if name != "full"}
    size = sum(path.stat().st_size for path in (folder / "cache" / "orchestrator").iterdir())
    return {**found, **ratios, "megabytes of results": size / 1e6}


def write(files: Path, jsonl: Path, chats: int, seed: int) -> None:
    """Write the chats, one file each and one line each."""
    files.mkdir()
    with jsonl.open("w", encoding="utf-8", newline="\n") as together:
        for number, line in enumerate(islice(lines(seed), chats)):
            together.write(line)
            (files / f"{number:07}.json").write_text(
                json.dumps(json.loads(line), ensure_ascii=False, indent=1), "utf-8"
            )


def change_line(path: Path, number: int, line: str) -> None:
    """Put another chat in place of one of a JSONL file; line by line, for the memory of this process counts, too."""
    with (
        path.open(encoding="utf-8") as old,
        path.with_suffix(".new").open("w", encoding="utf-8", newline="\n") as new,
    ):
        new.writelines(line if index == 1_000 + number else one for index, one in enumerate(old))
    path.with_suffix(".new").replace(path)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Compare the check after one change with the full check.")
    parser.add_argument("--chats", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures: dict[str, Any] = {"chats": given.chats, "rounds": given.rounds}
    other = list(islice(lines(given.seed + 1), given.rounds))
    with tempfile.TemporaryDirectory() as name:
        files, jsonl = Path(name, "files"), Path(name, "chats.jsonl")
        write(files, jsonl, given.chats, given.seed)
        figures["megabytes"] = jsonl.stat().st_size / 1e6
        changes: dict[str, tuple[Path, Callable[[int], object]]] = {
            "folder": (files, lambda number: (files / f"{number:07}.json").write_text(other[number], "utf-8")),
            "JSONL": (jsonl, lambda number: change_line(jsonl, number, other[number])),
        }
        for kind, accounts in (("without tokens", ""), ("with tokens", ACCOUNTS)):
            for form, (chats, change) in changes.items():
                folder = Path(name, f"{form} {kind}")
                folder.mkdir()
                if accounts:
                    (folder / "accounts.toml").write_text(accounts)
                figures[f"{form}, {kind}"] = compare(folder, chats, change, given.rounds)
    report("incremental check", figures)


if __name__ == "__main__":
    main()
