"""Served: `orchestrator serve` as a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import clean, orchestrator

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Served:
    """A running service: its address, its process, and when it said that it was ready, in seconds after its start."""

    url: str
    pid: int
    ready_after: float

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return cpu_of(self.pid)

    @property
    def memory(self) -> float:
        """Peak memory so far, in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def cpu_of(pid: int, *, ended: bool = False) -> float:
    """Seconds of CPU of a process so far; those of its children that have `ended` as well."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11 : 15 if ended else 13]) / TICKS


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Served]:
    """The service in this folder, once it is ready."""
    environment = clean(
        ORCHESTRATOR_PORT="0", ORCHESTRATOR_LOG_FORMAT="json", ORCHESTRATOR_MAX_IN_FLIGHT="50", **settings
    )
    begin = time.perf_counter()
    log = (folder / "serve.log").open("wb")
    process = subprocess.Popen(orchestrator("serve"), cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        while (url := _ready(folder / "serve.log")) is None:
            if process.poll() is not None:
                raise SystemExit((folder / "serve.log").read_text()[-2000:])
            time.sleep(0.02)
        yield Served(url, process.pid, time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait()
        log.close()


def _ready(log: Path) -> str | None:
    for line in log.read_text().splitlines():
        if "service.ready" in line:
            url: str = json.loads(line)["url"]
            return url
    return None
