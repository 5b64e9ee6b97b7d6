"""The main job against the bare script: CPU, wall time and peak memory, as ratios in one run.

    python benchmarks/accounts.py --accounts 1000 --rounds 3

Every account costs seven provider calls of 50 ms each in both. Baseline and subject take turns; each is a process of
its own, measured whole (start included) by the operating system.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
CONCURRENCY = 50


@dataclass(frozen=True, slots=True)
class Cost:
    """One finished process: seconds of CPU, seconds of wall time, peak memory in MB."""

    cpu: float
    wall: float
    memory: float


def measure(command: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Run a command to its end; it must succeed."""
    with (folder / "output.log").open("wb") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, code, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"{command} failed: {(folder / 'output.log').read_text()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def bare(url: str, accounts: int, file: Path, folder: Path) -> Cost:
    """The yardstick."""
    command = [sys.executable, str(HERE / "bare.py"), url, str(accounts), str(CONCURRENCY), str(file)]
    return measure(command, folder, dict(os.environ))


def subject(url: str, accounts: int, folder: Path) -> Cost:
    """`orchestrator run`, from an empty database."""
    entries = "".join(
        f'[[accounts]]\nname = "a{number}"\nprovider = "openai"\napi_key = "file:keys/{number}"\n'
        f'base_url = "{url}"\n\n'
        for number in range(accounts)
    )
    (folder / "keys").mkdir()
    for number in range(accounts):
        (folder / "keys" / str(number)).write_text(f"key-{number}")
    (folder / "accounts.toml").write_text(
        f'[run]\nname = "bench"\ndataset = "{ROOT / "chats"}"\nmoderation_waived = "benchmark"\n'
        f'[run.openai]\nbase_model = "gpt-4.1-mini-2025-04-14"\nn_epochs = 3\n{entries}'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    environment |= {
        "ORCHESTRATOR_POLL_MIN_SECONDS": "0.01",
        "ORCHESTRATOR_MAX_IN_FLIGHT": str(CONCURRENCY),
        "ORCHESTRATOR_LOG_LEVEL": "warning",
    }
    return measure([sys.executable, "-m", "orchestrator", "run"], folder, environment)


def compare(accounts: int, rounds: int) -> dict[str, object]:
    """Alternate baseline and subject; medians and their ratios."""
    provider = subprocess.Popen(
        [sys.executable, str(HERE / "provider.py"), "--latency", "0.05"], stdout=subprocess.PIPE, text=True
    )
    assert provider.stdout is not None
    url = provider.stdout.readline().strip()
    baseline: list[Cost] = []
    ours: list[Cost] = []
    try:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "training.jsonl")
                file.write_bytes(b"x" * 30_000)
                baseline.append(bare(url, accounts, file, Path(folder)))
            with tempfile.TemporaryDirectory() as folder:
                ours.append(subject(url, accounts, Path(folder)))
    finally:
        provider.terminate()
        provider.wait()
        provider.stdout.close()
    return {
        "accounts": accounts,
        "rounds": rounds,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "bare": [asdict(cost) for cost in baseline],
        "orchestrator": [asdict(cost) for cost in ours],
        "ratio": {
            figure: round(_median(ours, figure) / _median(baseline, figure), 2)
            for figure in ("cpu", "wall", "memory")
        },
    }


def _median(costs: list[Cost], figure: str) -> float:
    return statistics.median(getattr(cost, figure) for cost in costs)


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare the main job with a bare script.")
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps(compare(given.accounts, given.rounds), indent=1))


if __name__ == "__main__":
    main()
