"""A large dataset to buckets of several accounts, with a kill at the worst moment, against a plain copy.

    python benchmarks/bucket_uploads.py --megabytes 600 --accounts 10

For Google Cloud Storage (accounts at Vertex AI) and S3 (Bedrock). The stores are the fakes of the tests, which hash
and count in a process of their own (`object_store.py`). When half of the bytes have arrived they hold the parts on
their way, some in the middle, the others received but not answered; then the service is killed with SIGKILL and
started again.

Measured: the bytes that each store received, as a ratio to the size of all files; parts that were sent again although
the store had finished them (none may be); the peak memory of the service, the check of the chats included; the
checksums that the stores computed against those of the file; CPU and wall time from the first byte of a part to the
last, as a ratio to `plain_copy.py`, which sends the same bytes to the same process.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from dataset import make
from harness import HERE, clean, measure, orchestrator, report

PART_BYTES = 16 * 1024 * 1024
QUIET_SECONDS = 2.0  # without a byte: every part on its way is held
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
OPTIONS = {
    "gcs": (
        "vertex",
        "gemini-2.5-flash",
        'project = "proj-{name}"\nstorage_url = "{url}"\nregion = "us-central1"\n',
    ),
    "s3": (
        "bedrock",
        "amazon.nova-2-lite-v1:0:256k",
        'storage_url = "{url}/s3"\nregion = "us-east-1"\n'
        'role_arn = "arn:aws:iam::123456789012:role/BedrockTraining"\n',
    ),
}
KEYS = {"gcs": "sandbox-{name}", "s3": "sandbox-{name}:secret-of-{name}"}


@dataclass(frozen=True, slots=True)
class Upload:
    """One process of the service: its exit code, peak memory in MB, and seconds from the first byte of a part on."""

    code: int
    memory: float
    cpu: float
    wall: float


class Store:
    """The process of the buckets, as its clients see it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stats(self) -> dict[str, Any]:
        """What it has received."""
        with urlopen(f"{self.url}/stats", timeout=60) as answer:
            return dict(json.load(answer))

    def release(self) -> None:
        """End the hold, and wait until what was left of the killed process's connections has been read."""
        self._post("release")
        received = -1
        while received != (received := self.stats()["received"]):
            time.sleep(QUIET_SECONDS)
        self._post("restart-clock")

    def _post(self, path: str) -> None:
        urlopen(Request(f"{self.url}/{path}", method="POST"), timeout=60).close()


@contextmanager
def serve_store(kind: str, hold_at: int) -> Iterator[Store]:
    """The buckets, as a process of their own."""
    command = [sys.executable, str(HERE / "object_store.py"), kind, "--hold-at", str(hold_at)]
    with subprocess.Popen(command, env=clean(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Store(process.stdout.readline().strip())
        finally:
            process.terminate()


def write_accounts(folder: Path, kind: str, url: str, names: list[str]) -> None:
    """Write the accounts file and the keys."""
    provider, model, options = OPTIONS[kind]
    text = '[run]\nname = "bench"\ndataset = "chats.jsonl"\nmoderation_waived = "benchmark"\n'
    text += f'allow_unknown_price = true\n[run.{provider}]\nbase_model = "{model}"\nn_epochs = 1\n'
    for name in names:
        (folder / f"{name}.key").write_text(KEYS[kind].format(name=name))
        text += f'[[accounts]]\nname = "{name}"\nprovider = "{provider}"\napi_key = "file:{name}.key"\n'
        text += f'base_url = "{url}"\nbucket = "bucket-{name}"\n' + options.format(name=name, url=url)
    (folder / "accounts.toml").write_text(text)


def run_service(folder: Path, store: Store, *, kill: bool) -> Upload:
    """Run `orchestrator upload` to its end, or until it is killed because the store holds its parts."""
    before = store.stats()["received"]
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(orchestrator("upload"), cwd=folder, env=clean(), stdout=log, stderr=log)
    started = None  # seconds of CPU when the first byte of a part had arrived
    last, quiet_since = before, time.perf_counter()
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        time.sleep(0.05)
        stats = store.stats()
        if started is None and stats["received"] > before:
            started = read_cpu(process.pid)
        if stats["received"] != last:
            last, quiet_since = stats["received"], time.perf_counter()
        held = stats["cut"] + stats["unanswered"]
        if kill and held and time.perf_counter() - quiet_since > QUIET_SECONDS:
            process.send_signal(signal.SIGKILL)
            kill = False
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime - (started or 0.0)
    return Upload(process.returncode, usage.ru_maxrss / 1024, cpu, store.stats()["seconds"])


def read_cpu(pid: int) -> float:
    """Return the seconds of CPU of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / CLOCK_TICKS


def end_intents(folder: Path) -> None:
    """Make the intents of the killed process end now, as if their deadline had passed."""
    with closing(sqlite3.connect(folder / "data" / "orchestrator.db", timeout=10)) as database, database:
        database.execute("UPDATE jobs SET wake_at = 1, intent_until = 1 WHERE intent_until IS NOT NULL")


def compute_checksum(path: Path, kind: str) -> str:
    """Return the checksum that the store must have: an MD5 at Google, the SHA-256 of the parts' at S3."""
    with path.open("rb") as file:
        if kind == "gcs":
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            return base64.b64encode(digest).decode()
        digests = [hashlib.sha256(part).digest() for part in iter(lambda: file.read(PART_BYTES), b"")]
    whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    return f"{whole}-{len(digests)}"


def measure_store(folder: Path, kind: str, accounts: int, *, wait: bool) -> dict[str, Any]:
    """Upload, kill, start again and copy; what came out."""
    names = [f"a{number}" for number in range(accounts)]
    hold_at = (folder / "chats.jsonl").stat().st_size * accounts // 2
    shutil.rmtree(folder / "data", ignore_errors=True)  # of the store before
    with serve_store(kind, hold_at) as store:
        write_accounts(folder, kind, store.url, names)
        killed = run_service(folder, store, kill=True)
        at_kill = store.stats()
        store.release()
        if not wait:
            end_intents(folder)
        restarted = run_service(folder, store, kill=False)
        stats = store.stats()
        (file,) = (folder / "data" / "datasets").glob("*.converted")
        plain = measure(
            [
                sys.executable,
                str(HERE / "plain_copy.py"),
                str(file),
                *(f"{store.url}/plain/{name}" for name in names),
            ],
            folder,
        )
    size, checksum = file.stat().st_size, compute_checksum(file, kind)
    whole = accounts * size
    sent = restarted.cpu + killed.cpu, restarted.wall + killed.wall
    return {
        "bytes of a file": size,
        "received / all files": round(stats["received"] / whole, 4),
        "finished parts sent again": stats["repeated"],
        "parts cut off by the kill": at_kill["cut"],
        "parts finished but not answered at the kill": at_kill["unanswered"],
        "most parts on their way for an account": 4 if kind == "s3" else 1,
        "right objects": sum(
            objects == [{"bytes": size, "checksum": checksum}] for objects in stats["objects"].values()
        ),
        "peak memory MB": round(max(killed.memory, restarted.memory), 1),
        "plain copy": asdict(plain),
        "CPU / plain copy": round(sent[0] / plain.cpu, 2),
        "wall / plain copy": round(sent[1] / plain.wall, 2),
        "killed": asdict(killed),
        "restarted": asdict(restarted),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Upload to buckets, with a kill at the worst moment.")
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--stores", nargs="+", choices=tuple(OPTIONS), default=tuple(OPTIONS))
    parser.add_argument("--no-wait", action="store_true", help="end the intents of the killed process at once")
    given = parser.parse_args()
    figures: dict[str, Any] = {"megabytes": given.megabytes, "accounts": given.accounts}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "chats.jsonl", given.megabytes, seed=1)
        for kind in given.stores:
            figures[kind] = measure_store(Path(folder), kind, given.accounts, wait=not given.no_wait)
    report("bucket_uploads", figures)


if __name__ == "__main__":
    main()
