"""SQLite cannot be written for a while: its disk is full, or another process has it."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from database_outage import check_recovery
from machine_speed import scale_seconds
from processes import RunningProgram, SandboxProcess, Site

ACCOUNTS = [f"acme-{number:02}" for number in range(5)]


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
def fill_disk(folder: Path, _serving: RunningProgram) -> Iterator[None]:
    """Somebody else's file takes all there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            continue
    yield
    ballast.unlink()


@contextmanager
def limit_file_size(folder: Path, serving: RunningProgram) -> Iterator[None]:
    """No file of the process may grow beyond what the largest has."""
    size = max(path.stat().st_size for path in folder.glob("orchestrator.db*"))
    _, hard = resource.prlimit(serving.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def lock_database(folder: Path, _serving: RunningProgram) -> Iterator[None]:
    """Another process writes for longer than anyone waits."""
    with sqlite3.connect(folder / "orchestrator.db", isolation_level=None, timeout=scale_seconds(60)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("what", ["full", "locked"])
def test_service_creates_no_jobs_while_the_database_is_full(
    what: str, small_disk: Path | None, site: Site, sandbox: SandboxProcess
) -> None:
    folder = small_disk or site.data
    trouble = lock_database if what == "locked" else fill_disk if small_disk else limit_file_size
    check_recovery(
        partial(trouble, folder), site, sandbox, ACCOUNTS, readable=True, ORCHESTRATOR_DATA_DIR=f"{folder}"
    )
