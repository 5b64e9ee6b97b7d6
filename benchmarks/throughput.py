"""Many uploads of one file at once, against the bare SDK with file handles; a sink takes them and forgets them.

    python benchmarks/throughput.py --megabytes 512 --uploads 20 --rounds 3

A file above 512 MB goes in parts: then the SDK's own upload in parts takes its turn as well. Each side is a process
of its own (`sending.py`), measured whole by the system; how many bytes arrived is counted by the sink (`sink.py`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import HERE, Cost, clean, measure, report, summary

MB = 1_000_000
DIRECT = 512 * MB  # what goes in one piece


@contextmanager
def sink() -> Iterator[str]:
    """The sink as a process of its own; its base URL."""
    process = subprocess.Popen([sys.executable, str(HERE / "sink.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def send(way: str, url: str, uploads: int, file: Path) -> Cost:
    """One side once; wall time is that of the sending, without the start of the process."""
    before = _taken(url)
    cost = measure(
        [sys.executable, str(HERE / "sending.py"), way, url, str(uploads), str(file)], file.parent, clean()
    )
    if _taken(url) - before < uploads * file.stat().st_size:
        raise SystemExit(f"{way}: not all of it arrived")
    return replace(cost, wall=float((file.parent / "output.log").read_text()))


def compare(megabytes: int, uploads: int, rounds: int) -> dict[str, Any]:
    """The sides in turn; medians, spread and the ratios to the bare SDK with file handles."""
    whole = megabytes * MB <= DIRECT
    ways = ["handles", "ours"] if whole else ["handles", "chunked", "ours"]
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder, sink() as url:
        file = Path(folder) / "training.jsonl"
        with file.open("wb") as handle:
            for _ in range(megabytes):
                handle.write(os.urandom(MB))
        for way in ways * rounds:
            costs[way].append(send(way, url, uploads, file))
    figures = {
        figure: {way: [getattr(cost, figure) for cost in costs[way]] for way in ways}
        for figure in ("cpu", "wall", "memory")
    }
    wall = {way: statistics.median(values) for way, values in figures["wall"].items()}
    return {
        "megabytes": megabytes,
        "uploads": uploads,
        "rounds": rounds,
        "sent": "whole" if whole else "in parts",
        **{figure: {way: summary(values) for way, values in found.items()} for figure, found in figures.items()},
        "megabytes a second": {way: round(megabytes * uploads / seconds) for way, seconds in wall.items()},
        "throughput ratio": {way: round(seconds / wall["ours"], 2) for way, seconds in wall.items() if way != "ours"},
    }


def _taken(url: str) -> int:
    return int(urllib.request.urlopen(url + "/bytes").read())


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare many uploads at once with the bare SDK's.")
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    report(f"throughput-{given.megabytes}", compare(given.megabytes, given.uploads, given.rounds))


if __name__ == "__main__":
    main()
