"""A provider of deployments in memory, and replicas of the service that work on them by a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from store_values import NOW, RUN, a_job, a_standing, fill

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment import Deployment, build_deployment
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import DeploymentNotReady, RemoteNotFound, UnknownOutcome
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import replace
from orchestrator.daemon.deployments.inventory import DeploymentInventory
from orchestrator.daemon.deployments.reconciler import DeploymentReconciler
from orchestrator.daemon.deployments.recorder import DeploymentRecorder
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.daemon.deployments.steps import DeploymentSteps
from orchestrator.providers.base import (
    Deadline,
    DeploymentOrder,
    DeploymentSearch,
    Provider,
    ProviderConnection,
)
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts
from orchestrator.store.queries.deployments import deployment_records, deployment_requests

HOUR = 3600.0
INTENT_SECONDS = 30.0
USD_PER_HOUR = 4.0
SPEC = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2)
LOG = structlog.get_logger("orchestrator")


class SteppedClock:
    """Both clocks of the machine. `set_wall_clock` moves only the one that an administrator can set."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.step = 0.0

    def now(self) -> float:
        return NOW + self.seconds + self.step

    def boottime(self) -> float:
        return 100.0 + self.seconds

    def set_wall_clock(self, step: float) -> None:
        self.step += step


@dataclass
class MadeDeployment:
    """A deployment as the provider has it."""

    remote: RemoteDeployment
    account: str
    name: str
    made_at: float


@dataclass
class DeploymentCloud:
    """What the provider has, in all accounts, and what it was asked."""

    clock: SteppedClock
    made: dict[str, MadeDeployment] = field(default_factory=dict)
    hidden: dict[str, MadeDeployment] = field(default_factory=dict)  # what the present key does not see
    creates: Counter[str] = field(default_factory=Counter)  # by account
    removals: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)  # by operation
    lose_creates: int = 0  # so many answers of creates get lost
    start_seconds: float = 40.0
    refuse_seconds: float = 20.0  # after the start it reports itself as running and refuses calls
    status: RemoteDeploymentStatus | None = None  # of all that have started, in place of RUNNING
    options: Sequence[DeploymentOption] | None = (
        DeploymentOption(price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=USD_PER_HOUR, source="list")),
    )
    fail: Callable[[str, str], None] = lambda operation, account: None  # raises in place of an answer

    def list_of(self, account: str) -> list[RemoteDeployment]:
        return [self.read(each) for each in self.made.values() if each.account == account]

    def read(self, made: MadeDeployment) -> RemoteDeployment:
        started = self.clock.boottime() >= made.made_at + self.start_seconds
        status = RemoteDeploymentStatus.CREATING
        if started:
            status = self.status or RemoteDeploymentStatus.RUNNING
        return replace(made.remote, status=status, raw_status=status.upper())


class CloudProvider:
    """One account at that provider."""

    capabilities = CAPABILITIES[ProviderName.FIREWORKS]

    def __init__(self, cloud: DeploymentCloud, account: str) -> None:
        self._cloud = cloud
        self._account = account

    async def _begin(self, operation: str) -> None:
        self._cloud.calls[operation] += 1
        await asyncio.sleep(0)
        self._cloud.fail(operation, self._account)

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        await self._begin("list_deployment_options")
        return None if self._cloud.options is None else list(self._cloud.options)

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        await self._begin("find_deployments")
        found = [each for each in self._cloud.list_of(self._account) if each.tag == order.tag]
        return DeploymentSearch(tuple(found))

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        await self._begin("create_deployment")
        assert deadline.seconds_left > 0
        cloud = self._cloud
        cloud.creates[self._account] += 1
        made = add_remote(cloud, self._account, order.tag, order.model, stop_at=order.expires_at)
        if cloud.lose_creates > 0:
            cloud.lose_creates -= 1
            raise UnknownOutcome("the answer was lost")
        return cloud.read(made)

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        await self._begin("get_deployment")
        if remote_id not in self._cloud.made:
            raise RemoteNotFound(f"404 no such deployment as {remote_id}")
        return self._cloud.read(self._cloud.made[remote_id])

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        await self._begin("call_deployment")
        ready_at = self._cloud.made[remote.id].made_at + self._cloud.start_seconds + self._cloud.refuse_seconds
        if self._cloud.clock.boottime() < ready_at:
            raise DeploymentNotReady("503 waking up")

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        await self._begin("remove_deployment")
        if self._cloud.made.pop(remote.id, None) is not None:
            self._cloud.removals[self._account] += 1

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        await self._begin("list_own_deployments")
        return self._cloud.list_of(self._account)


def add_remote(
    cloud: DeploymentCloud, account: str, tag: str, model: str, *, stop_at: float | None = None
) -> MadeDeployment:
    """Let the provider have a deployment with this tag."""
    number = len(cloud.made) + sum(cloud.removals.values()) + 1
    remote = RemoteDeployment(
        id=f"dep-{number}",
        status=RemoteDeploymentStatus.CREATING,
        raw_status="CREATING",
        model=model,
        tag=tag,
        model_string=f"{account}/dep-{number}",
        base_url="https://example.test/v1",
        usd_per_hour=USD_PER_HOUR,
        price_source="provider",
        created_at=cloud.clock.now(),
        stop_at=stop_at,
    )
    cloud.made[remote.id] = MadeDeployment(remote, account, f"name-{number}", cloud.clock.boottime())
    return cloud.made[remote.id]


def limited_to(max_total_usd: float | None) -> RunDeploymentTable:
    """Return what the accounts file says about RUN."""
    table = RunDeploymentTable()
    table.apply({}, {RUN.name: max_total_usd})
    return table


class Crash(BaseException):
    """The process is killed: nothing handles this."""


class DeploymentReplica:
    """One process of the service."""

    def __init__(
        self,
        database: Database,
        cloud: DeploymentCloud,
        names: Sequence[str],
        *,
        provider: ProviderName = ProviderName.FIREWORKS,
        budget_usd: float | None = None,
        runs: RunDeploymentTable | None = None,
        crash_at: str | None = None,
        replica: str = "one",
        creates: bool = True,
    ) -> None:
        self.database = database
        self.cloud = cloud
        self.clock = cloud.clock
        self.crashed = False
        self.connections = {
            name: ProviderConnection(
                Account(name=name, provider=provider, api_key="env:KEY", budget_usd=budget_usd),
                "12345678",
                cast(Provider, CloudProvider(cloud, name)),
            )
            for name in names
        }

        def reach(point: str) -> None:
            if point == crash_at and not self.crashed:
                self.crashed = True
                raise Crash(point)

        async def identify(connection: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
            cloud.calls["identify"] += 1
            cloud.fail("identify", connection.account.name)
            return connection, AccountIdentity("org", "project")

        self.reconciler = DeploymentReconciler(
            database,
            self.connections,
            steps=DeploymentSteps(identify=identify, clock=self.clock, jitter=lambda: 0.5),
            recorder=DeploymentRecorder(
                database,
                self.connections,
                runs or limited_to(None),
                redact=Redactor(),
                clock=self.clock,
                replica=replica,
                log=LOG,
            ),
            clock=self.clock,
            jitter=lambda: 0.5,
            intent_seconds=INTENT_SECONDS,
            log=LOG,
            creates=creates,
            failpoint=reach,
        )
        self.inventory = DeploymentInventory(database, self.connections, identify=identify, clock=self.clock, log=LOG)


async def work(*replicas: DeploymentReplica, seconds: float = 0.0) -> None:
    """Let the replicas handle what is due, all at once, and move the clock from wake-up to wake-up."""
    clock, database = replicas[0].clock, replicas[0].database
    end = clock.seconds + seconds
    for _ in range(2000):
        async with database.read() as connection:
            due = await deployment_records.list_due(connection, clock.now(), 100)
            upcoming = await deployment_records.find_next_wake_at(connection)
        if due:
            await asyncio.gather(*(each.reconciler.handle(one.id) for one in due for each in replicas))
        elif upcoming is None or upcoming - clock.step - NOW > end:
            clock.seconds = end
            return
        else:
            clock.seconds = max(upcoming - clock.step - NOW, clock.seconds)
    raise AssertionError("the deployments never rest")


def trained_job(account: str, provider: ProviderName = ProviderName.FIREWORKS, **changes: Any) -> Job:
    """A job that has succeeded."""
    values: dict[str, Any] = {
        "provider": provider,
        "state": JobState.SUCCEEDED,
        "wake_at": None,
        "fine_tuned_model": f"models/{account}",
    }
    return a_job(account, **(values | changes))


async def request(database: Database, *jobs: Job, spec: DeploymentSpec = SPEC, now: float = NOW) -> list[Deployment]:
    """Store the jobs in verified accounts, and request a deployment of each."""
    await fill(database, jobs)
    for job in jobs:
        state = a_standing(job.account, provider=job.provider)
        await database.write(lambda tx, state=state: accounts.save(tx, state))  # type: ignore[misc]
    wanted = [build_deployment(job, spec, now=now) for job in jobs]
    return await database.write(
        lambda tx: deployment_requests.request_deployments(tx, wanted, at=now, cause="service")
    )


async def read_all(database: Database, account: str = "acme") -> list[Deployment]:
    async with database.read() as connection:
        return await deployment_records.list_by_account(connection, account)


async def read_one(database: Database, account: str = "acme") -> Deployment:
    [deployment] = await read_all(database, account)
    return deployment
