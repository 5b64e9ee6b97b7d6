"""Chaos with deployments: kill the service again and again, then count what the provider has created and still has.

    python tests/chaos/harness.py --deployments --rounds 20 --seed 1 --accounts 40
    python tests/chaos/harness.py --deployments --rounds 20 --seed 1 --accounts 40 --replicas 2

The provider is the fake of Fireworks, in this process, and loses answers. Each account trains one model, which its
run deploys for a few minutes. Fireworks reports no prices, so each deployment waits for an approval.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/fakes"), str(ROOT / "tests/acceptance/helpers")]

from fake_fireworks import MODELS, create_fireworks  # noqa: E402
from fake_fireworks_deployments import FakeDeployment, FireworksDeployments  # noqa: E402
from fake_server import serve_on_free_port  # noqa: E402
from machine_speed import scale_seconds  # noqa: E402
from processes import StartedProgram, clean_environ, run_program, start_program  # noqa: E402

from orchestrator.sandbox import Fault  # noqa: E402

DEPLOYMENT_POINTS = tuple(
    f"deployment {state}: {when}"
    for state, whens in {
        "creating": ("after intent", "before record", "after record"),
        "starting": ("before record", "after record"),
        "stopping": ("before record", "after record"),
    }.items()
    for when in whens
)
FAULTS = (
    Fault("slow", rate=0.2, seconds=0.1),
    Fault("lose_answer", operations=("deployments.create",), rate=0.2),
    Fault("lose_answer", operations=("deployments.delete",), rate=0.2),
    Fault("rate_limit", rate=0.1, seconds=0.2),
    Fault("server_error", rate=0.05),
)
KEEP_SECONDS = 360.0
APPROVAL_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class DeploymentChaosResult:
    """What the provider has created, and what it still has at the end."""

    accounts: int
    kills: int
    points: int
    creates: int
    duplicates: int
    left: int

    @property
    def passed(self) -> bool:
        return self.creates == self.accounts and not self.duplicates and not self.left

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"{verdict}: {self.accounts} accounts, {self.kills} kills ({self.points} at named points), "
            f"{self.creates} deployments created, {self.duplicates} twice, {self.left} left"
        )


class _CountedDeployments:
    """Counts what is created at the fake, by account."""

    def __init__(self, deployments: FireworksDeployments) -> None:
        self.creates: Counter[str] = Counter()
        self.deployments = deployments
        add = deployments.add

        def counted(account: str, name: str, model: str, now: float, **body: Any) -> FakeDeployment:
            self.creates[account] += 1
            return add(account, name, model, now, **body)

        deployments.add = counted  # type: ignore[method-assign]

    def count_left(self) -> int:
        """Count the deployments that were not deleted for good: all others are billed."""
        return sum(each.hard_deleted_at is None for own in self.deployments.own.values() for each in own.values())


class DeploymentChaos:
    """One experiment in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        accounts: int,
        seed: int,
        database_url: str = "",
        replicas: int = 1,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self._folder = folder
        self._keep_hours = keep_seconds / 3600
        self._accounts = accounts
        self._database_url = database_url
        self._replicas = replicas
        self._random = random.Random(seed)
        self._url = ""
        self._is_serving, self._stopping = threading.Event(), threading.Event()
        self._provider = threading.Thread(target=lambda: asyncio.run(self._serve_provider()))
        self._approver = threading.Thread(target=self._approve_again_and_again)
        self._counted: _CountedDeployments | None = None
        self.kills = 0
        self.points = 0

    def __enter__(self) -> DeploymentChaos:
        self._provider.start()
        self._is_serving.wait(scale_seconds(60))
        self._write_accounts()
        self._approver.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._approver.join()
        self._provider.join()

    def crash_at(self, point: str, patience: float) -> bool:
        """Start a replica that kills itself at the point, and the others; False when it never came there."""
        replicas = [self._start(CHAOS_CRASH_AT=point), *(self._start() for _ in range(self._replicas - 1))]
        with contextlib.suppress(subprocess.TimeoutExpired):
            replicas[0].wait(patience)
        crashed = replicas[0].poll() == -signal.SIGKILL
        self.points += crashed
        self.kills += crashed
        self._kill(replicas)
        return crashed

    def kill_at_random(self, longest: float) -> None:
        """Start the replicas, let them work for a random time, and kill them."""
        replicas = [self._start() for _ in range(self._replicas)]
        time.sleep(self._random.uniform(1.0, longest))
        self.kills += len(replicas)
        self._kill(replicas)

    def finish(self, patience: float) -> DeploymentChaosResult:
        """Let the service work until everything was created and removed again, and count."""
        counted = self._get_counted()
        replicas = [self._start() for _ in range(self._replicas)]
        try:
            _wait_until(lambda: len(counted.creates) == self._accounts, patience)
            _wait_until(lambda: counted.count_left() == 0, patience)
        finally:
            self._kill(replicas)
        return DeploymentChaosResult(
            accounts=self._accounts,
            kills=self.kills,
            points=self.points,
            creates=counted.creates.total(),
            duplicates=sum(count - 1 for count in counted.creates.values()),
            left=counted.count_left(),
        )

    def _get_counted(self) -> _CountedDeployments:
        assert self._counted is not None  # set before `__enter__` returns
        return self._counted

    async def _serve_provider(self) -> None:
        app, world = create_fireworks(time.time)  # noqa: TID251 - the clock of a real provider
        world.faults(*FAULTS)
        deployments: FireworksDeployments = app.state.deployments
        deployments.start_seconds, deployments.answer_seconds, deployments.removal_seconds = 2.0, 4.0, 1.0
        self._counted = _CountedDeployments(deployments)
        async with serve_on_free_port(app) as self._url:
            self._is_serving.set()
            while not self._stopping.is_set():  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.1)

    def _approve_again_and_again(self) -> None:
        names = [f"--account=account-{number}" for number in range(self._accounts)]
        while not self._stopping.wait(APPROVAL_SECONDS):
            command = ["deployments", "--approve", *names]
            run_program(command, self._folder, self._environment())  # fails while nothing waits for an approval

    def _start(self, **extra: str) -> StartedProgram:
        with (self._folder / "service.log").open("ab") as log:
            outputs = (log.fileno(), log.fileno())
            return start_program(["serve"], self._folder, self._environment() | extra, outputs, fresh=False)

    def _kill(self, replicas: list[StartedProgram]) -> None:
        for replica in replicas:
            replica.kill()
            replica.wait()

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
                "ORCHESTRATOR_PORT": "0",
                "ORCHESTRATOR_DATABASE_URL": self._database_url,
            }
        )

    def _write_accounts(self) -> None:
        entries = "".join(
            f'[[accounts]]\nname = "account-{number}"\nprovider = "fireworks"\n'
            f'organization = "org-account-{number}"\napi_key = "env:KEY_{number}"\nbase_url = "{self._url}/v1"\n\n'
            for number in range(self._accounts)
        )
        (self._folder / "accounts.toml").write_text(
            f'[run]\nname = "chaos"\ndataset = "{ROOT / "chats"}"\nmoderation_waived = "sample chats"\n'
            "allow_unknown_price = true\n\n"
            f'[run.fireworks]\nbase_model = "{MODELS[0]}"\nn_epochs = 3\nlora_rank = 8\n\n'
            f'[run.fireworks.deployment]\nkind = "hour"\nshape = "MINIMAL"\n'
            f"keep_hours = {self._keep_hours:.9f}\n\n{entries}"
        )


def run_deployment_experiment(
    chaos: DeploymentChaos, *, rounds: int, points: tuple[str, ...] = DEPLOYMENT_POINTS
) -> DeploymentChaosResult:
    """A kill at each named point, then so many at random, then the end."""
    missed = [point for point in points if not chaos.crash_at(point, patience=scale_seconds(60))]
    if missed:
        print("points not reached:", ", ".join(missed))
    for _ in range(rounds):
        chaos.kill_at_random(longest=10.0)
    return chaos.finish(patience=scale_seconds(1200))


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            return
        time.sleep(0.2)
