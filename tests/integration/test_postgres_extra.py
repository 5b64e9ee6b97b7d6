"""SQLite needs nothing of PostgreSQL; PostgreSQL says what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from machine_speed import scale_seconds

WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None  # importing it fails, as if it were not installed
from orchestrator.cli import main
sys.argv = ["orchestrator", "status"]
main()
"""


def status(folder: Path, url: str, *missing: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing)],
        cwd=folder,
        env={
            "ORCHESTRATOR_DATABASE_URL": url,
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        timeout=scale_seconds(120),
    )


def test_sqlite_works_without_the_postgres_extra(tmp_path: Path) -> None:
    ended = status(tmp_path, "sqlite:///o.db", "asyncpg", "pgqueuer")
    assert ended.returncode == 0, ended.stderr
    assert "No run yet" in ended.stdout


@pytest.mark.parametrize("missing", ["asyncpg", "pgqueuer"])
def test_postgresql_without_its_extra_names_the_extra(tmp_path: Path, missing: str) -> None:
    ended = status(tmp_path, "postgresql://nobody@127.0.0.1:1/none", missing)
    assert ended.returncode == 2
    assert f"PostgreSQL needs the package {missing}" in ended.stderr
    assert "orchestrator[postgres]" in ended.stderr


def test_unreachable_postgresql_is_one_clear_message(tmp_path: Path) -> None:
    ended = status(tmp_path, "postgresql://nobody:hunter2@127.0.0.1:1/none")
    assert ended.returncode == 2
    assert "127.0.0.1" in ended.stderr
    assert "cannot be opened" in ended.stderr
    assert "ORCHESTRATOR_DATABASE_URL" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr
