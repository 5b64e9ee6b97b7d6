"""SQLite cannot be written for a while: its disk is full, or another process has it."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from processes import Running, Sandbox, Site, eventually

ACCOUNTS = [f"acme-{number:02}" for number in range(5)]
Trouble = Callable[[Path, Running], AbstractContextManager[None]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A disk of a few megabytes; None for whoever may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(folder: Path, _serving: Running) -> Iterator[None]:
    """Somebody else's file takes all there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            continue
    yield
    ballast.unlink()


@contextmanager
def limited(folder: Path, serving: Running) -> Iterator[None]:
    """No file of the process may grow beyond what the largest has."""
    size = max(path.stat().st_size for path in folder.glob("orchestrator.db*"))
    _, hard = resource.prlimit(serving.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def locked(folder: Path, _serving: Running) -> Iterator[None]:
    """Another process writes for longer than anyone waits."""
    with sqlite3.connect(folder / "orchestrator.db", isolation_level=None, timeout=30) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("what", ["full", "locked"])
def test_the_service_says_so_once_spends_nothing_and_goes_on(
    what: str, small_disk: Path | None, site: Site, sandbox: Sandbox
) -> None:
    folder = small_disk or site.data
    trouble: Trouble = locked if what == "locked" else full if small_disk else limited
    site.accounts(*ACCOUNTS)
    sandbox.faults({"kind": "slow", "seconds": 0.3, "operations": ["files.create", "jobs.create"]})
    serving = site.start(
        "serve",
        ORCHESTRATOR_DATA_DIR=f"{folder}",
        ORCHESTRATOR_INTENT_SECONDS="2",
        ORCHESTRATOR_MAX_IN_FLIGHT="2",
        ORCHESTRATOR_PORT="0",
    )
    url = serving.find(r'"url": "(http://[^"]+)"[^\n]*"service.ready"')

    def readiness() -> int:
        return httpx2.get(f"{url}readyz", timeout=10).status_code

    eventually(lambda: sandbox.changes().get("jobs.create", 0) >= 1, "a job")
    assert readiness() == 200
    with trouble(folder, serving):
        eventually(lambda: readiness() == 503, "/readyz says so")
        time.sleep(0.5)  # what was under way has ended
        before = sandbox.changes()
        time.sleep(1.5)
        assert sandbox.changes() == before
        assert before["jobs.create"] < len(ACCOUNTS)
        assert httpx2.get(f"{url}status", timeout=10).status_code == 200, "it can still be looked at"
    eventually(lambda: readiness() == 200, "/readyz says so again")

    def done() -> bool:
        status = httpx2.get(f"{url}status", timeout=10).json()
        return all(job["state"] == "succeeded" for job in status["jobs"])

    eventually(done, "all jobs done", 60)
    assert sandbox.held() == dict.fromkeys(ACCOUNTS, (1, 1))
    assert sandbox.changes()["jobs.create"] == len(ACCOUNTS)
    ended = serving.stop()
    assert ended.code == 0
    said = [line["event"] for line in ended.log if line["event"] in {"database.unreachable", "database.back"}]
    assert said == ["database.unreachable", "database.back"]
    assert "Traceback" not in ended.err
