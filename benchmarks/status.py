"""`/status` of thousands of jobs beside a working service: how long an answer takes, whole and as 304.

    python benchmarks/status.py --jobs 10000 --seconds 20

The service follows every job once a minute meanwhile. The yardstick is a FastAPI route that returns the same bytes.
`orchestrator status` on the finished database, `orchestrator --help` and the dashboard's first page are measured too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from crowd import prepare
from harness import HERE, measure, orchestrator, provider, quantiles, report, summary
from served import serving

RATE = 20  # requests a second


def ask(url: str, etag: str | None = None) -> tuple[float, str | None, int]:
    """Seconds for the answer, its entity tag, and its status."""
    request = urllib.request.Request(url, headers={"If-None-Match": etag} if etag else {})
    begin = time.perf_counter()
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
            return time.perf_counter() - begin, answer.headers["ETag"], answer.status
    except urllib.error.HTTPError as error:
        return time.perf_counter() - begin, etag, error.code


def steadily(url: str, seconds: float) -> list[float]:
    """Ask `RATE` times a second; how long each answer took."""
    with ThreadPoolExecutor(8) as pool:
        asked = []
        for number in range(int(seconds * RATE)):
            asked.append(pool.submit(ask, url))
            time.sleep(1 / RATE)
            del number
        return [each.result()[0] for each in asked]


def unchanged(url: str, times: int) -> list[float]:
    """Ask again and again for what has not changed; how long each 304 took."""
    took = []
    _, etag, _ = ask(url)
    for _ in range(times):
        seconds, etag, status = ask(url, etag)
        took += [seconds] if status == 304 else []
    return took


def bare(body: Path, seconds: float) -> list[float]:
    """The same bytes from a route that does nothing else."""
    process = subprocess.Popen([sys.executable, str(HERE / "route.py"), str(body)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        return steadily(process.stdout.readline().strip(), seconds)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def working(folder: Path, url: str, jobs: int, seconds: float) -> dict[str, Any]:
    """The service at work."""
    prepare(folder, url, jobs, state="running")
    with serving(folder, ORCHESTRATOR_POLL_MIN_SECONDS="60", ORCHESTRATOR_POLL_MAX_SECONDS="60") as served:
        first = ask(served.url + "status")[0]
        body = urllib.request.urlopen(served.url + "status").read()
        (folder / "body").write_bytes(body)
        before = served.cpu
        took = steadily(served.url + "status", seconds)
        share = (served.cpu - before) / seconds
        page = [ask(served.url)[0] for _ in range(20)]
    return {
        "megabytes": round(len(body) / 1e6, 1),
        "first answer ms": round(1000 * first),
        "status ms": quantiles(took),
        "cpu share": round(share, 2),
        "dashboard ms": quantiles(page),
        "bare route ms": quantiles(bare(folder / "body", seconds)),
    }


def resting(folder: Path, url: str, jobs: int) -> dict[str, Any]:
    """The service with nothing left to do, and the command line beside it."""
    prepare(folder, url, jobs, state="succeeded")
    with serving(folder) as served:
        same = unchanged(served.url + "status", 200)
    looks = [measure(orchestrator("status"), folder) for _ in range(5)]
    helps = [measure(orchestrator("--help"), folder) for _ in range(5)]
    return {
        "304 ms": quantiles(same),
        "304s": len(same),
        "orchestrator status s": summary([look.wall for look in looks]),
        "orchestrator status cpu s": summary([look.cpu for look in looks]),
        "orchestrator --help s": summary([each.wall for each in helps]),
        "orchestrator --help cpu s": summary([each.cpu for each in helps]),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure how the status is told.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    figures: dict[str, Any] = {"jobs": given.jobs}
    with provider(0.05, "--running") as url:
        with tempfile.TemporaryDirectory() as folder:
            figures |= working(Path(folder), url, given.jobs, given.seconds)
        with tempfile.TemporaryDirectory() as folder:
            figures |= resting(Path(folder), url, given.jobs)
    report("status", figures)


if __name__ == "__main__":
    main()
