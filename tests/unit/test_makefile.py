"""`make install` after one that failed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
echo "$@" >> calls
mkdir -p .venv/bin
printf '#!/bin/sh\\nexit 0\\n' > .venv/bin/python
cp .venv/bin/python .venv/bin/uv
chmod +x .venv/bin/*
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose python3 notes what is asked of it, and makes an environment that works."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python3").write_text(PYTHON)
    (tmp_path / "python3").chmod(0o755)
    return tmp_path


def install(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "install", f"PYTHON={checkout / 'python3'}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def outdate(checkout: Path) -> None:
    """As if the lock file had changed since the installation."""
    os.utime(checkout / ".venv/.installed", (1, 1))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_incomplete_environment_is_installed_again(checkout: Path) -> None:
    python = checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")  # as without pip
    python.chmod(0o755)
    ended = install(checkout)
    assert ended.returncode == 0, ended.stderr
    assert (checkout / "calls").read_text() == "-m venv --clear .venv\n"
    outdate(checkout)
    (checkout / ".venv/bin/uv").write_text("#!/bin/sh\nexit 1\n")
    assert install(checkout).returncode != 0
    assert not (checkout / ".venv/.installed").exists(), "what failed must not pass for installed"
    assert install(checkout).returncode == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_complete_environment_is_kept(checkout: Path) -> None:
    for _ in range(2):
        assert install(checkout).returncode == 0
        outdate(checkout)
    assert (checkout / "calls").read_text() == "-m venv --clear .venv\n"
