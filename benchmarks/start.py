"""The start of `serve` on a large database: when it is ready, and when it first asks a provider.

    python benchmarks/start.py --open 10000 --finished 100000

Ready is the line `service.ready`; the first claim is the first request of a due job that reaches the provider.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import urllib.request
from pathlib import Path

from crowd import prepare
from harness import provider, report, summary
from served import serving


def started(folder: Path, url: str) -> tuple[float, float, float]:
    """Seconds to ready, from there to the first claim, and of CPU until then."""
    before = _calls(url)
    with serving(folder, ORCHESTRATOR_POLL_MIN_SECONDS="60", ORCHESTRATOR_POLL_MAX_SECONDS="60") as served:
        begin = time.perf_counter()
        while _calls(url) - before < 2:  # the first asks for the base model, at the start
            time.sleep(0.01)
        return served.ready_after, time.perf_counter() - begin, served.cpu


def _calls(url: str) -> int:
    return int(urllib.request.urlopen(url + "/calls").read())


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure the start of the service.")
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--finished", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with provider(0.05, "--running") as url, tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), url, given.open, state="running", spread=0.0, finished=given.finished)
        rounds = [started(Path(folder), url) for _ in range(given.rounds)]
    names = ("ready s", "first claim s", "cpu s")
    figures = {name: summary(values) for name, values in zip(names, zip(*rounds, strict=True), strict=True)}
    report("start", {"open": given.open, "finished": given.finished, **figures})


if __name__ == "__main__":
    main()
