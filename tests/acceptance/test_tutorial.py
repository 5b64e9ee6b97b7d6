"""Every command of docs/tutorial.md, run in its order as a newcomer would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from ports import reserve_port
from processes import QUICK_POLLING, clean_environ

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def script() -> str:
    """The tutorial's commands, on ports that nothing else uses; a person would see the sandbox's first line."""
    provider, service = reserve_port(), reserve_port()
    blocks = re.findall(r"^```sh\n(.+?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    [second] = [number for number, block in enumerate(blocks) if "orchestrator sandbox" in block]
    blocks[second] += f"until curl --silent --output /dev/null http://127.0.0.1:{provider}/; do sleep 0.2; done\n"
    head = "set -eu -o pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    commands = head + "".join(blocks).replace("--seconds 5", "--seconds 1")
    return commands.replace("8090", f"{provider}").replace("8080", f"{service}")


@pytest.mark.skipif(sys.platform != "linux", reason="the tutorial is for a shell with bash's job control")
def test_the_tutorial_ends_with_three_models(tmp_path: Path) -> None:
    commands = script()
    port = re.findall(r"http://127.0.0.1:(\d+)/status", commands)[0]
    environ = (
        clean_environ()
        | QUICK_POLLING
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
        timeout=scale_seconds(240),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    until_third, _, _ = done.stdout[done.stdout.index("model.ready") :].partition("\n")  # its line in the log
    shown = done.stdout.partition("model.ready")[0] + until_third
    assert len(set(re.findall(r"ft:[^\s│\"]+", shown))) == 3, done.stdout[-3000:]
