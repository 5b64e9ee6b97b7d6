"""What the benchmarks share: processes measured whole by the operating system, databases full of jobs, and results.

Baseline and subject take turns in the same run; medians, their spread and their ratio are told. Results are kept as
JSON in `test-artifacts/benchmarks/`, one file a benchmark, for comparison over time.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = Path(os.environ.get("BENCHMARK_RESULTS", ROOT / "test-artifacts" / "benchmarks"))


@dataclass(frozen=True, slots=True)
class Cost:
    """One finished process: seconds of CPU, seconds of wall time, peak memory in MB."""

    cpu: float
    wall: float
    memory: float


def measure(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end; it must succeed. What it says is in `output.log`."""
    with (folder / "output.log").open("wb") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment or clean(), stdout=log, stderr=log)
        _, code, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"{command} failed: {(folder / 'output.log').read_text()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def clean(**settings: str) -> dict[str, str]:
    """Return this process's environment with these settings only, and with compiled modules."""
    left_out = ("ORCHESTRATOR_", "PYTHONDONTWRITEBYTECODE")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**plain, "PYTHONPATH": str(ROOT), **settings}


def orchestrator(*arguments: str) -> list[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "orchestrator", *arguments]


@contextmanager
def provider(latency: float, *options: str) -> Iterator[str]:
    """The fake provider as a process of its own; its base URL."""
    with provider_process(latency, *options) as (url, _):
        yield url


@contextmanager
def provider_process(latency: float, *options: str) -> Iterator[tuple[str, int]]:
    """The same, with its process id."""
    command = [sys.executable, str(HERE / "provider.py"), "--latency", str(latency), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": _short(statistics.median(values)), "least": _short(min(values)), "most": _short(max(values))}


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99, in milliseconds."""
    ordered = sorted(seconds)
    return {
        f"p{share}": _short(1000 * ordered[min(len(ordered) * share // 100, len(ordered) - 1)])
        for share in (50, 95, 99)
    }


def report(name: str, figures: dict[str, Any]) -> None:
    """Print the figures, and keep them."""
    whole = {
        "benchmark": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.datetime.fromtimestamp(time.time(), datetime.UTC).isoformat(timespec="seconds"),  # noqa: TID251
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": _short(os.getloadavg()[0]),
        **figures,
    }
    text = json.dumps(whole, indent=1) + "\n"
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text)
    sys.stdout.write(text)


def _short(value: float) -> float:
    return float(f"{value:.3g}")
