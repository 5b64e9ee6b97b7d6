"""Every command of docs/tutorial.md, run in its order as a newcomer would."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import QUICK, clean_environ

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def script() -> str:
    """The tutorial's commands, on ports that are free."""
    blocks = re.findall(r"^```sh\n(.+?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    head = "set -eu -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    return head + "".join(blocks).replace("8090", free_port()).replace("8080", free_port()).replace(
        "--seconds 5", "--seconds 1"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the tutorial is for a shell with bash's job control")
def test_the_tutorial_ends_with_three_models(tmp_path: Path) -> None:
    commands = script()
    port = re.findall(r"http://127.0.0.1:(\d+)/status", commands)[0]
    environ = (
        clean_environ()
        | QUICK
        | {
            "REPOSITORY": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "ORCHESTRATOR_PORT": port,
        }
    )
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(set(re.findall(r"ft:[^\s│\"]+", done.stdout.partition("model.ready")[0]))) == 3, done.stdout[-3000:]
