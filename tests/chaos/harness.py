"""Chaos: kill the service again and again while the provider loses answers, then count what was paid for.

    python tests/chaos/harness.py --rounds 60 --seed 1 --accounts 40
    python tests/chaos/harness.py --rounds 60 --seed 1 --accounts 40 --replicas 2
    python tests/chaos/harness.py --rounds 20 --seed 1 --accounts 30 --runs 3
    python tests/chaos/harness.py --rounds 20 --seed 1 --accounts 40 --deployments

With more than one replica the database is a PostgreSQL of the harness's own, otherwise SQLite. The service and the
sandbox are processes; in the test suite the service is forked from its fork server. The verdict is read from the
sandbox, not from the service.

With more than one run the file has [[runs]] with different priorities, each account has two job slots, and account-0
has a budget for two jobs. Deployments are an experiment of their own (deployment_chaos.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/chaos"), str(ROOT / "tests/acceptance/helpers")]

from chaos_result import MAX_AFFORDED, ChaosResult  # noqa: E402
from deployment_chaos import DeploymentChaos, DeploymentChaosResult, run_deployment_experiment  # noqa: E402
from machine_speed import scale_seconds, set_time_factor  # noqa: E402
from postgres import serving  # noqa: E402 - found where the line above points to
from processes import StartedProgram, clean_environ, run_program, start_program  # noqa: E402
from shared_accounts import JobSampler, count_most_at_once, list_order_violations  # noqa: E402
from short_waits import MAX_BACKOFF, shorten_waits  # noqa: E402

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
UPLOAD_STATES = ("planned", "uploading", "processing")
BACKOFF_SECONDS = 4.0  # at most, after failures in a row: the faults meet some jobs ten times
SEEDS_PER_ROUND = 10  # the seeds of the runs that exist at the same time
FAULTS: list[dict[str, Any]] = [
    {"kind": "slow", "seconds": 0.1},
    {"kind": "lose_answer", "rate": 0.1, "operations": ["files.create", "jobs.create"]},
    {"kind": "rate_limit", "rate": 0.1, "seconds": 0.2},
    {"kind": "drop", "rate": 0.05},
    {"kind": "malformed_list", "rate": 0.3, "code": "error"},  # the one that is taken for an empty list most easily
    {"kind": "malformed_list", "rate": 0.1},
    {"kind": "file_not_ready"},  # a job of a file that is still processed is refused, as Azure does
]


class Chaos:
    """One experiment in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        accounts: int,
        seed: int,
        database_url: str = "",
        replicas: int = 1,
        runs: int = 1,
        environ: Mapping[str, str] | None = None,
    ) -> None:
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
        self._runs_at_once = runs
        self._environ = dict(environ or {})
        self._rounds = 1
        self._command = "run"
        self._slots = 3 if runs == 1 else 2
        self._job_usd = 0.0
        self._sampler = JobSampler(self._list_sandbox_jobs)

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
                "1" if self._runs_at_once == 1 else "3",
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
        if self._runs_at_once > 1:
            self._job_usd = self._read_plan()["runs"][0]["accounts"][0]["usd"]
            self._write_accounts()  # with the budget
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._sandbox is not None
        self._sampler.stop()
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
        self._command = "upload" if self._runs_at_once > 1 and point.startswith(UPLOAD_STATES) else "run"
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

    def finish_uploads(self, patience: float) -> None:
        """Let several runs upload all files, so that they compete for slots: before, a run keeps none."""
        if self._runs_at_once > 1:
            self._command = "upload"
            self._wait_for_end(patience)
        self._command = "run"

    def finish(self, patience: float) -> ChaosResult:
        """Let the service end its work, and count."""
        self._wait_for_end(patience)
        return self._collect_result()

    def _wait_for_end(self, patience: float) -> None:
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

    def _report_unfinished_work(self, patience: float) -> None:
        """Print the jobs that are not finished, and keep the service's log and what the sandbox holds."""
        for job in self._list_status_jobs():
            if job["state"] not in {"succeeded", "failed", "cancelled"}:
                print(json.dumps(job))
        kept = Path(tempfile.mkdtemp(prefix="chaos-unfinished-"))
        shutil.copy(self._folder / "service.log", kept)
        (kept / "sandbox.json").write_text(json.dumps(self._call_sandbox("state")))
        print(f"the service did not finish within {patience:.0f} s; its log and the sandbox's state are in {kept}")

    def _start_next_run_if_finished(self, replicas: list[StartedProgram]) -> None:
        """When all was done before the kill, other seeds make other runs."""
        done = {0} if self._runs_at_once == 1 else {0, 1}  # 1: the job without a budget is held
        if self._command == "run" and any(replica.returncode in done for replica in replicas):
            self._rounds += 1
            self._write_accounts()

    def _collect_result(self) -> ChaosResult:
        state = self._call_sandbox("state")
        all_jobs = {name: held["jobs"] for name, held in state["accounts"].items()}
        jobs = Counter((name, job["seed"]) for name, held in all_jobs.items() for job in held)
        last_seeds = {seed for seed, _ in self._list_runs()}
        files = [[file["id"] for file in account["files"]] for account in state["accounts"].values()]
        return ChaosResult(
            accounts=self._accounts,
            runs=self._rounds * self._runs_at_once,
            poor=int(self._runs_at_once > 1),
            points=self.points,
            kills=self.kills,
            faults=sum(self._call_sandbox("faults")["fired"]),
            jobs=jobs.total(),
            duplicates=sum(count - 1 for count in jobs.values()),
            orphans=sum(max(0, len(ids) - 1) for ids in files),
            models=len({job["fine_tuned_model"] for job in self._list_status_jobs() if job["fine_tuned_model"]}),
            expected_models=sum(seed in last_seeds for _, seed in jobs),
            poor_jobs=len(all_jobs["account-0"]) if self._runs_at_once > 1 else 0,
            most_at_once=max(self._sampler.most_at_once, *map(count_most_at_once, all_jobs.values())),
            slots=self._slots,
            violations=len(self._list_violations()),
        )

    def _list_violations(self) -> list[str]:
        """Return what the service's history shows of the order of the runs, and print it."""
        if self._runs_at_once == 1:
            return []
        ranks = {part["run"]["id"]: rank for rank, part in enumerate(self._read_status()["runs"])}
        violations = []
        for number in range(self._accounts):
            events = self._read_json("history", f"account-{number}", "--json")
            for event in events:
                event["seconds"] = datetime.fromisoformat(event["at"]).timestamp()
            violations += list_order_violations(events, ranks, self._slots)
        for line in violations:
            print(line)
        return violations

    def _list_sandbox_jobs(self) -> dict[str, Any]:
        return {name: held["jobs"] for name, held in self._call_sandbox("state")["accounts"].items()}

    def _list_status_jobs(self) -> list[Any]:
        status = self._read_status()
        return [job for part in status.get("runs", [status]) for job in part["jobs"]]

    def _read_status(self) -> Any:
        return self._read_json("status", "--json")

    def _read_plan(self) -> Any:
        return self._read_json("plan", "--json")

    def _read_json(self, *arguments: str) -> Any:
        printed = run_program(arguments, self._folder, self._environment())
        assert printed.code == 0, printed
        return printed.json

    def _start(self, **extra: str) -> StartedProgram:
        with (self._folder / "service.log").open("ab") as log:
            outputs = (log.fileno(), log.fileno())
            return start_program([self._command], self._folder, self._environment() | extra, outputs, fresh=False)

    def _count_service_starts(self) -> int:
        """How often a replica has begun to work."""
        log = self._folder / "service.log"
        applied = log.read_bytes().count(b'"plan.applied"') if log.exists() else 0
        return applied // self._runs_at_once

    def _wait_for_work(self, replicas: list[StartedProgram], begun: int) -> None:
        end = time.perf_counter() + scale_seconds(60)
        while time.perf_counter() < end:
            if self._count_service_starts() >= begun + len(replicas) or any(
                replica.poll() is not None for replica in replicas
            ):
                return
            time.sleep(0.05)

    def _kill(self, service: StartedProgram) -> None:
        if service.poll() is None:
            self.kills += 1
        service.kill()
        service.wait()

    def _environment(self) -> dict[str, str]:
        keys = {f"KEY_{number}": f"sandbox-account-{number}" for number in range(self._accounts)}
        return (
            clean_environ()
            | keys
            | {
                "ORCHESTRATOR_POLL_MIN_SECONDS": "0.2",
                "ORCHESTRATOR_POLL_MAX_SECONDS": "1",
                "ORCHESTRATOR_INTENT_SECONDS": f"{scale_seconds(2):g}",
                "ORCHESTRATOR_MAX_IN_FLIGHT": "8",
                "ORCHESTRATOR_DATABASE_URL": self._database_url,
            }
            | self._environ
        )

    def _list_runs(self) -> list[tuple[int, int]]:
        """Return the seed and the priority of each run; the oldest has the lowest priority."""
        first = self._rounds * SEEDS_PER_ROUND
        return [(first + number, 10 * number) for number in range(self._runs_at_once)]

    def _write_accounts(self) -> None:
        entries = "".join(
            f'[[accounts]]\nname = "account-{number}"\nprovider = "openai"\n'
            f'api_key = "env:KEY_{number}"\nbase_url = "{self._url}"\nmax_running_jobs = {self._slots}\n'
            + (f"budget_usd = {(MAX_AFFORDED + 0.5) * self._job_usd}\n\n" if self._job_usd and not number else "\n")
            for number in range(self._accounts)
        )
        (self._folder / "accounts.toml").write_text("\n".join([*self._list_run_entries(), entries]))

    def _list_run_entries(self) -> list[str]:
        table = "run" if self._runs_at_once == 1 else "runs"
        return [
            (f"[{table}]" if table == "run" else f"[[{table}]]\npriority = {priority}")
            + f'\nname = "chaos-{number}"\nseed = {seed}\ndataset = "{ROOT / "chats"}"\n'
            f'moderation_waived = "sample chats"\n\n'
            f'[{table}.openai]\nbase_model = "sandbox-small"\nn_epochs = 3\n'
            for number, (seed, priority) in enumerate(self._list_runs())
        ]

    def _call_sandbox(self, what: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._url.removesuffix('/v1')}/sandbox/{what}", data=body, method="PUT" if body else "GET"
        )
        with urllib.request.urlopen(request, timeout=scale_seconds(60)) as answer:
            return json.load(answer)


def shorten_backoff(folder: Path) -> dict[str, str]:
    """Return the environment in which no job sleeps for minutes because the faults met it many times in a row."""
    return shorten_waits(folder / "waits", {MAX_BACKOFF: BACKOFF_SECONDS})


def run_experiment(chaos: Chaos, *, rounds: int, points: tuple[str, ...]) -> ChaosResult:
    """A kill at each named point, then so many at random, then the end."""
    before = [point for point in points if point.startswith(UPLOAD_STATES)]
    after = [point for point in points if point not in before]
    missed = [point for point in before if not chaos.crash_at(point, patience=scale_seconds(60))]
    chaos.finish_uploads(patience=scale_seconds(600))
    missed += [point for point in after if not chaos.crash_at(point, patience=scale_seconds(60))]
    if missed:
        print("points not reached:", ", ".join(missed))
    enough = chaos.kills + rounds
    while chaos.kills < enough:
        chaos.kill_at_random(longest=3.0)
    return chaos.finish(patience=scale_seconds(600))


def _run(given: argparse.Namespace, stack: contextlib.ExitStack) -> ChaosResult | DeploymentChaosResult:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
    url = stack.enter_context(serving()).create() if given.replicas > 1 else ""
    common = {"accounts": given.accounts, "seed": given.seed, "database_url": url, "replicas": given.replicas}
    if given.deployments:
        deployments = stack.enter_context(DeploymentChaos(folder, **common))
        return run_deployment_experiment(deployments, rounds=given.rounds)
    chaos = stack.enter_context(Chaos(folder, runs=given.runs, environ=shorten_backoff(folder), **common))
    return run_experiment(chaos, rounds=given.rounds, points=POINTS)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the service, count the jobs.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--accounts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1, help="runs of the accounts file at the same time")
    parser.add_argument("--deployments", action="store_true", help="deploy the models, and count the deployments")
    given = parser.parse_args()
    set_time_factor()
    with contextlib.ExitStack() as stack:
        verdict = _run(given, stack)
    print(verdict)
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
