"""Chaos: kill the service again and again while the provider loses answers, then count what was paid for.

    python tests/chaos/harness.py --rounds 60 --seed 1 --accounts 40
    python tests/chaos/harness.py --rounds 60 --seed 1 --accounts 40 --replicas 2

With more than one replica the database is a PostgreSQL of the harness's own, otherwise SQLite. The service and the
sandbox are processes. The verdict is read from the sandbox, not from the service.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from machine_speed import scale_seconds, set_time_factor  # noqa: E402
from postgres import serving  # noqa: E402 - found where the line above points to

POINTS = tuple(
    f"{state}: {when}"
    for state, whens in {
        "planned": ("before record", "after record"),
        "uploading": ("after intent", "before record", "after record"),
        "processing": ("before record", "after record"),
        "ready": ("before record", "after record"),
        "submitting": ("after intent", "before record", "after record"),
        "queued": ("before record", "after record"),
        "running": ("before record", "after record"),
    }.items()
    for when in whens
)
FAULTS: list[dict[str, Any]] = [
    {"kind": "slow", "seconds": 0.1},
    {"kind": "lose_answer", "rate": 0.1, "operations": ["files.create", "jobs.create"]},
    {"kind": "rate_limit", "rate": 0.1, "seconds": 0.2},
    {"kind": "drop", "rate": 0.05},
    {"kind": "malformed_list", "rate": 0.3, "code": "error"},  # the one that is taken for an empty list most easily
    {"kind": "malformed_list", "rate": 0.1},
    {"kind": "file_not_ready"},  # a job of a file that is still processed is refused, as Azure does
]


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """What was found at the sandbox and in the service's own status at the end.

    Whenever everything is done before the kills are, another seed makes it all over again: `runs` counts that.
    """

    accounts: int
    runs: int
    points: int
    kills: int
    faults: int
    jobs: int
    duplicates: int
    orphans: int
    models: int

    @property
    def passed(self) -> bool:
        return (
            not self.duplicates
            and not self.orphans
            and self.jobs == self.runs * self.accounts
            and self.models == self.accounts
        )

    def __str__(self) -> str:
        return (
            f"runs {self.runs}, accounts {self.accounts}, kills {self.kills} ({self.points} at named points), "
            f"faults {self.faults}, jobs {self.jobs}, models {self.models}, "
            f"duplicates {self.duplicates}, orphans {self.orphans}"
        )


class Chaos:
    """One experiment in a folder of its own."""

    def __init__(self, folder: Path, *, accounts: int, seed: int, database_url: str = "", replicas: int = 1) -> None:
        self._folder = folder
        self._database_url = database_url
        self._replicas = replicas
        self._accounts = accounts
        self._random = random.Random(seed)
        self._seed = seed
        self._sandbox: subprocess.Popen[str] | None = None
        self._url = ""
        self.kills = 0
        self.points = 0
        self._runs = 1

    def __enter__(self) -> Chaos:
        (self._folder / "faults.json").write_text(json.dumps(FAULTS))
        self._sandbox = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "orchestrator",
                "sandbox",
                "--port",
                "0",
                "--seconds",
                "1",
                "--seed",
                str(self._seed),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder,
        )
        assert self._sandbox.stdout is not None
        self._url = self._sandbox.stdout.readline().split()[-1]
        self._call_sandbox("faults", json.dumps({"faults": FAULTS}).encode())
        self._write_accounts()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._sandbox is not None
        self._sandbox.terminate()
        self._sandbox.wait(scale_seconds(60))
        assert self._sandbox.stdout is not None
        self._sandbox.stdout.close()

    def kill_at_random(self, longest: float) -> None:
        """Start the replicas, kill each at a random moment: mostly of its work, now and then of its start."""
        begun = self._count_service_starts()
        replicas = [self._start() for _ in range(self._replicas)]
        if self._random.random() < 0.8:
            self._wait_for_work(replicas, begun)
        for replica in self._random.sample(replicas, len(replicas)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                replica.wait(self._random.uniform(0.1, longest))
            self._kill(replica)
        self._start_next_run_if_finished(replicas)

    def crash_at(self, point: str, patience: float) -> bool:
        """Start a replica that kills itself at the point, and the others; False when it never came there."""
        replicas = [self._start(CHAOS_CRASH_AT=point), *(self._start() for _ in range(self._replicas - 1))]
        with contextlib.suppress(subprocess.TimeoutExpired):
            replicas[0].wait(patience)
        crashed = replicas[0].poll() == -signal.SIGKILL
        self.kills += crashed
        self.points += crashed
        for replica in replicas:
            self._kill(replica)
        self._start_next_run_if_finished(replicas)
        return crashed

    def finish(self, patience: float) -> ChaosResult:
        """Let the service end its work, and count."""
        replicas = [self._start() for _ in range(self._replicas)]
        try:
            for replica in replicas:
                replica.wait(patience)
        except subprocess.TimeoutExpired:
            self._report_unfinished_work(patience)
            raise
        finally:
            for replica in replicas:
                replica.kill()
                replica.wait()
        return self._collect_result()

    def _report_unfinished_work(self, patience: float) -> None:
        """Print the jobs that are not finished, and keep the service's log and what the sandbox holds."""
        for job in self._read_status()["jobs"]:
            if job["state"] not in {"succeeded", "failed", "cancelled"}:
                print(json.dumps(job))
        kept = Path(tempfile.mkdtemp(prefix="chaos-unfinished-"))
        shutil.copy(self._folder / "service.log", kept)
        (kept / "sandbox.json").write_text(json.dumps(self._call_sandbox("state")))
        print(f"the service did not finish within {patience:.0f} s; its log and the sandbox's state are in {kept}")

    def _start_next_run_if_finished(self, replicas: list[subprocess.Popen[bytes]]) -> None:
        """When all was done before the kill, another seed makes another run."""
        if any(replica.returncode == 0 for replica in replicas):
            self._runs += 1
            self._write_accounts()

    def _collect_result(self) -> ChaosResult:
        state = self._call_sandbox("state")
        jobs = Counter((name, job["seed"]) for name, held in state["accounts"].items() for job in held["jobs"])
        files = [[file["id"] for file in account["files"]] for account in state["accounts"].values()]
        return ChaosResult(
            accounts=self._accounts,
            runs=self._runs,
            points=self.points,
            kills=self.kills,
            faults=sum(self._call_sandbox("faults")["fired"]),
            jobs=jobs.total(),
            duplicates=sum(count - 1 for count in jobs.values()),
            orphans=sum(max(0, len(ids) - 1) for ids in files),
            models=len({job["fine_tuned_model"] for job in self._read_status()["jobs"] if job["fine_tuned_model"]}),
        )

    def _read_status(self) -> Any:
        status = subprocess.run(
            [sys.executable, "-m", "orchestrator", "status", "--json"],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(status.stdout)

    def _start(self, **extra: str) -> subprocess.Popen[bytes]:
        with (self._folder / "service.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "run"],
                cwd=self._folder,
                env=self._environment() | extra,
                stdout=log,
                stderr=log,
            )

    def _count_service_starts(self) -> int:
        """How often a replica has begun to work."""
        log = self._folder / "service.log"
        return log.read_bytes().count(b'"plan.applied"') if log.exists() else 0

    def _wait_for_work(self, replicas: list[subprocess.Popen[bytes]], begun: int) -> None:
        end = time.perf_counter() + scale_seconds(60)
        while time.perf_counter() < end:
            if self._count_service_starts() >= begun + len(replicas) or any(
                replica.poll() is not None for replica in replicas
            ):
                return
            time.sleep(0.05)

    def _kill(self, service: subprocess.Popen[bytes]) -> None:
        if service.poll() is None:
            self.kills += 1
        service.kill()
        service.wait()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        keys = {f"KEY_{number}": f"sandbox-account-{number}" for number in range(self._accounts)}
        return (
            kept
            | keys
            | {
                "ORCHESTRATOR_POLL_MIN_SECONDS": "0.2",
                "ORCHESTRATOR_POLL_MAX_SECONDS": "1",
                "ORCHESTRATOR_INTENT_SECONDS": f"{scale_seconds(2):g}",
                "ORCHESTRATOR_MAX_IN_FLIGHT": "8",
                "ORCHESTRATOR_DATABASE_URL": self._database_url,
            }
        )

    def _write_accounts(self) -> None:
        entries = "".join(
            f'[[accounts]]\nname = "account-{number}"\nprovider = "openai"\n'
            f'api_key = "env:KEY_{number}"\nbase_url = "{self._url}"\n\n'
            for number in range(self._accounts)
        )
        (self._folder / "accounts.toml").write_text(
            f'[run]\nname = "chaos"\nseed = {self._runs}\ndataset = "{ROOT / "chats"}"\n'
            f'moderation_waived = "sample chats"\n\n'
            f'[run.openai]\nbase_model = "sandbox-small"\nn_epochs = 3\n\n{entries}'
        )

    def _call_sandbox(self, what: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._url.removesuffix('/v1')}/sandbox/{what}", data=body, method="PUT" if body else "GET"
        )
        with urllib.request.urlopen(request, timeout=scale_seconds(60)) as answer:
            return json.load(answer)


def run_experiment(chaos: Chaos, *, rounds: int, points: tuple[str, ...]) -> ChaosResult:
    """A kill at each named point, then so many at random, then the end."""
    missed = [point for point in points if not chaos.crash_at(point, patience=scale_seconds(60))]
    if missed:
        print("points not reached:", ", ".join(missed))
    enough = chaos.kills + rounds
    while chaos.kills < enough:
        chaos.kill_at_random(longest=3.0)
    # The faults go on, and a job whose look-ups failed ten times in a row waits five minutes before the next one.
    return chaos.finish(patience=scale_seconds(1200))


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the service, count the jobs.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--accounts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1)
    given = parser.parse_args()
    set_time_factor()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        url = stack.enter_context(serving()).create() if given.replicas > 1 else ""
        verdict = run_experiment(
            stack.enter_context(
                Chaos(folder, accounts=given.accounts, seed=given.seed, database_url=url, replicas=given.replicas)
            ),
            rounds=given.rounds,
            points=POINTS,
        )
    print(verdict)
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
