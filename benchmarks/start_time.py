"""The start of the commands: CPU from the start of the process to its end, as a ratio to an empty Python program.

    python benchmarks/start_time.py --runs 15
    python benchmarks/start_time.py --runs 15 --python NEW/bin/python --before OLD/bin/python

NEW and OLD are empty environments into which a wheel was installed, with the versions of its lock file as
constraints. Python alone, the commands and both versions take turns, and the least CPU of the runs counts: other
programs of the machine can only add to it. `check` reads the fourteen sample chats; `status` has no run to report, so
that it measures the start. With --before the sizes of both installations are compared, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT, clean, measure, report

COMMANDS = {
    "--version": ("--version",),
    "--help": ("--help",),
    "check": ("check",),
    "status": ("status",),
}
ACCOUNTS = """\
[run]
name = "start"
dataset = "chats"
moderation_waived = "benchmark"
[run.openai]
base_model = "sandbox-small"
n_epochs = 1
"""
ACCOUNT = (
    '[[accounts]]\nname = "a{0}"\nprovider = "openai"\napi_key = "file:{0}.key"\nbase_url = "http://127.0.0.1:1/v1"\n'
)


@dataclass(frozen=True, slots=True)
class Side:
    """One version of the program: the Python that runs it, and its source if it is not installed there."""

    name: str
    python: str
    source: Path | None

    def environment(self) -> dict[str, str]:
        """The variables of its processes."""
        plain = {name: value for name, value in clean().items() if name != "PYTHONPATH"}
        return plain | ({"PYTHONPATH": str(self.source)} if self.source else {})


def prepare(folder: Path) -> None:
    """Write chats, keys and an accounts file."""
    (folder / "chats").symlink_to(ROOT / "chats")
    text = ACCOUNTS
    for number in range(3):
        (folder / f"{number}.key").write_text(f"sandbox-a{number}")
        text += ACCOUNT.format(number)
    (folder / "accounts.toml").write_text(text)


def compare(folders: dict[Side, Path], runs: int) -> dict[str, Any]:
    """Return the least CPU of each command in milliseconds, and its ratio to Python alone."""
    least: dict[tuple[str, str], float] = {}
    for _ in range(runs):
        for side, folder in folders.items():
            programs = {"python -c pass": ["-c", "pass"]} | {
                name: ["-m", "orchestrator", *arguments] for name, arguments in COMMANDS.items()
            }
            for name, arguments in programs.items():
                cost = measure([side.python, *arguments], folder, side.environment())
                key = side.name, name
                least[key] = min(least.get(key, cost.cpu), cost.cpu)
    return {
        side.name: {
            name: {
                "ms": round(1000 * least[side.name, name], 1),
                "ratio": round(least[side.name, name] / least[side.name, "python -c pass"], 1),
            }
            for name in ("python -c pass", *COMMANDS)
        }
        for side in folders
    }


def measure_size(python: str) -> dict[str, float]:
    """Return the number of packages of an installation, and their megabytes without compiled modules."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    packages = len(list(folder.glob("*.dist-info")))
    return {"packages": packages, "MB": round(sum(path.stat().st_size for path in files) / 1e6, 1)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure the start of the commands.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--python", default=sys.executable, help="Python with the program")
    parser.add_argument("--before", help="Python with an earlier version of the program")
    given = parser.parse_args()
    sides = [Side("now", given.python, ROOT if given.python == sys.executable else None)]
    if given.before:
        sides.append(Side("before", given.before, None))
    with tempfile.TemporaryDirectory() as parent:
        folders = {side: Path(parent) / side.name for side in sides}
        for folder in folders.values():
            folder.mkdir()
            prepare(folder)
        figures: dict[str, Any] = compare(folders, given.runs)
    if given.before:
        figures["size"] = {side.name: measure_size(side.python) for side in sides}
    report("start_time", {"runs": given.runs, "cores": os.cpu_count(), **figures})


if __name__ == "__main__":
    main()
