"""A large dataset to several accounts at once in parts, killed in the middle and started again.

    python benchmarks/uploads.py --megabytes 600 --accounts 10

What is asked: finished parts are not sent again, the service's memory stays low, and every account's file at the
provider has the SHA-256 of the dataset. The provider is the sandbox, a process of its own; the chats are made from a
seed, as in `dataset.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from dataset import make

LOOK_SECONDS = 0.5
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Lived:
    """What one process of the service cost: seconds of CPU and of wall time, peak memory in MB, and its exit code."""

    cpu: float
    wall: float
    memory: float
    code: int


@contextmanager
def sandbox(folder: Path) -> Iterator[str]:
    """The provider; gives its address without a path."""
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "sandbox", "--port", "0", "--seconds", "1"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1].removesuffix("/v1")
        finally:
            process.terminate()


def site(folder: Path, url: str, accounts: int) -> None:
    """An accounts file beside chats.jsonl."""
    head = '[run]\nname = "bench"\ndataset = "chats.jsonl"\nmoderation_waived = "benchmark"\n'
    head += 'allow_unknown_price = true\n[run.openai]\nbase_model = "sandbox-small"\nn_epochs = 1\n'
    for number in range(accounts):
        (folder / f"{number}.key").write_text(f"sandbox-a{number}")
        head += f'[[accounts]]\nname = "a{number}"\nprovider = "openai"\n'
        head += f'api_key = "file:{number}.key"\nbase_url = "{url}/v1"\n'
    (folder / "accounts.toml").write_text(head)


def live(folder: Path, enough: Callable[[], bool] | None = None) -> Lived:
    """`orchestrator upload` to its end, or until it is killed because that is `enough`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    begin = time.perf_counter()
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "upload"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        while enough is not None and not enough():
            time.sleep(LOOK_SECONDS)
        if enough is not None:
            process.send_signal(signal.SIGKILL)
        _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    wall = time.perf_counter() - begin
    return Lived(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, process.returncode)


def state(url: str) -> Any:
    """What an outsider sees of the sandbox."""
    with urlopen(f"{url}/sandbox/state") as answer:
        return json.load(answer)


def parts(url: str) -> int:
    """How many parts the sandbox has taken."""
    return int(state(url)["requests"].get("uploads.part", {}).get("200", 0))


def noted(folder: Path) -> int:
    """How many parts the service knows to have arrived."""
    with closing(sqlite3.connect(folder / "data" / "orchestrator.db", timeout=10)) as database:
        return sum(len(json.loads(row[0])) for row in database.execute("SELECT parts FROM uploads"))


def measure(folder: Path, megabytes: int, accounts: int) -> dict[str, Any]:
    """Upload, kill in the middle, start again; what came out."""
    make(folder / "chats.jsonl", megabytes, seed=1)
    with sandbox(folder) as url:
        site(folder, url, accounts)
        whole = accounts * -(-(folder / "chats.jsonl").stat().st_size // 16_000_000)
        killed = live(folder, lambda: parts(url) >= whole // 2)
        known, before = noted(folder), parts(url)
        restarted = live(folder)
        seen = state(url)
        digests = {file["sha256"] for each in seen["accounts"].values() for file in each["files"]}
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "megabytes": megabytes,
            "accounts": accounts,
            "parts": whole,
            "parts sent before the kill": before,
            "parts known at the kill": known,
            "parts sent after it": parts(url) - before,
            "files": sum(len(each["files"]) for each in seen["accounts"].values()),
            "right": digests == {_digest(folder)},
            "killed": asdict(killed),
            "restarted": asdict(restarted),
        }


def _digest(folder: Path) -> str:
    """The SHA-256 of the canonical dataset, read from its file."""
    (file,) = (folder / "data" / "datasets").glob("*.jsonl")
    digest = sha256()
    with file.open("rb") as data:
        while block := data.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def main() -> None:
    """Print what came out as JSON."""
    parser = argparse.ArgumentParser(
        description="Upload a large dataset to several accounts, with a kill in between."
    )
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--accounts", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.megabytes, given.accounts), indent=1))


if __name__ == "__main__":
    main()
