"""Benches of deployments: the fake of one provider, with a finished model in it that can be deployed."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from fake_bedrock_deployments import BedrockDeployments
from fake_fireworks_deployments import UNSERVABLE, FireworksDeployments
from provider_bench import BedrockBench, FireworksBench, ProviderBench

from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS, DeploymentOffer
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import ProviderError, TrainingNotAllowed
from orchestrator.core.remote import RemoteJobStatus
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentProvider, Provider
from orchestrator.sandbox import Fault

TAG = "0123456789abcdef.0"
HOUR = 3600.0


class DeployingProvider(Provider, DeploymentProvider, Protocol):
    """A dialect that can do both."""


class DeploymentBench(ABC):
    """What the contract suite of deployments asks of a provider's fake.

    The operations of faults are deployments.create, .list, .retrieve, .delete and .call; a dialect that needs other
    requests for one of them gives these the same operation.
    """

    provider_bench: ClassVar[type[ProviderBench]]
    kind: ClassVar[DeploymentKind] = DeploymentKind.HOUR
    options: ClassVar[dict[str, Any]] = {}  # of the spec
    creation: ClassVar[re.Pattern[str]]  # the path of the request that creates
    rests: ClassVar[bool] = False  # whether it can be scaled to zero and is woken by a call
    removes_itself_after: ClassVar[float | None] = None  # seconds without a call
    keeps_stop_time: ClassVar[bool] = True  # whether our expiry can be written at the provider
    shows_tags: ClassVar[bool] = True  # whether a list of all deployments shows their tags
    error_without_right: ClassVar[type[ProviderError]] = TrainingNotAllowed  # of a create that is refused with 403
    refuses_name: ClassVar[bool] = True  # whether a second create with the name is refused there
    is_found_by_name: ClassVar[bool] = True  # whether it is read by its name, and not searched for in a list
    price_is_known: ClassVar[bool] = False  # whether a deployment shows its price per hour
    unservable_model: ClassVar[str | None] = None  # a base model that cannot be deployed, if the provider says so
    servable_model: ClassVar[str | None] = None  # a base model that can, if the provider says so; None: the bench's

    def __init__(self, folder: Path) -> None:
        self.inner = self.provider_bench(folder)
        self.inner.wire.creation = self.creation

    @property
    def now(self) -> float:
        return self.inner.now

    @now.setter
    def now(self, value: float) -> None:
        self.inner.now = value

    @property
    def offer(self) -> DeploymentOffer:
        return DEPLOYMENT_OFFERS[self.inner.name]

    def provider(self, account: str = "acme", **options: Any) -> DeployingProvider:
        return cast(DeployingProvider, self.inner.provider(account, **options))

    def faults(self, *rules: Fault) -> None:
        self.inner.faults(*rules)

    def deadline(self, seconds: float | None = None) -> Deadline:
        return self.inner.deadline() if seconds is None else self.inner.deadline(seconds)

    async def order(self, provider: Provider, tag: str = TAG, model: str | None = None, **options: Any) -> Any:
        """An order for a model that has been trained, or for another model."""
        if model is None:
            job = await self.inner.job(provider)
            self.now += 1000
            done = await provider.get_job(job.id)
            assert done.status is RemoteJobStatus.SUCCEEDED
            model = done.fine_tuned_model
        assert model
        spec = DeploymentSpec(kind=self.kind, keep_hours=2, **(self.options | options))
        return DeploymentOrder(
            tag=tag,
            name=format_deployment_name(tag, self.offer.name_length),
            model=model,
            base_model=self.inner.base_model,
            spec=spec,
            expires_at=self.now + 2 * HOUR,
        )

    async def created(self, provider: DeployingProvider, **options: Any) -> tuple[DeploymentOrder, RemoteDeployment]:
        """A deployment that was created, with its order."""
        order = await self.order(provider, **options)
        return order, await provider.create_deployment(order, self.deadline())

    async def answering(self, provider: DeployingProvider) -> tuple[DeploymentOrder, RemoteDeployment]:
        """A deployment that answers calls, with its order."""
        order, made = await self.created(provider)
        self.now += self.start_seconds
        remote = await provider.get_deployment(made.id)
        await provider.call_deployment(remote)
        return order, remote

    def change_status(self, body: Any, word: str) -> Any:
        """The answer about one deployment with another status word."""
        return body | {"state": word}

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        """The answer about one deployment with another id."""
        return body | {"name": change(body["name"])}

    @property
    @abstractmethod
    def start_seconds(self) -> float:
        """After how many seconds a deployment certainly answers."""

    @property
    @abstractmethod
    def removal_seconds(self) -> float:
        """After how many seconds a step of a removal is complete."""

    @abstractmethod
    def existing(self, account: str = "acme") -> dict[str, Any]:
        """Return what exists at the fake, or still occupies its name: by name, in a form that can be compared."""

    @abstractmethod
    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        """Put somebody else's deployment there."""

    @abstractmethod
    def fail_next(self, message: str) -> None:
        """Let the next deployment fail while it starts."""

    @abstractmethod
    def remove_outside(self, name: str, account: str = "acme") -> None:
        """Remove a deployment as its owner would in the console, for good."""


class FireworksDeploymentBench(DeploymentBench):
    provider_bench = FireworksBench
    creation = re.compile(r"/deployments$")
    rests = True
    removes_itself_after = 7 * 24 * HOUR
    unservable_model = UNSERVABLE

    @property
    def fake(self) -> FireworksDeployments:
        state: FireworksDeployments = cast(Any, self.inner.wire).app.state.deployments
        return state

    @property
    def start_seconds(self) -> float:
        return max(self.fake.start_seconds, self.fake.answer_seconds)

    @property
    def removal_seconds(self) -> float:
        return self.fake.removal_seconds

    def existing(self, account: str = "acme") -> dict[str, Any]:
        return {
            name: repr(each)
            for name, each in self.fake.of(account).items()
            if each.hard_deleted_at is None or self.now < each.hard_deleted_at + self.removal_seconds
        }

    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        self.fake.add(account, name, model, self.now, description="the demo of another team", minReplicaCount=1)

    def fail_next(self, message: str) -> None:
        self.fake.failures.append(message)

    def remove_outside(self, name: str, account: str = "acme") -> None:
        del self.fake.of(account)[name]


class BedrockDeploymentBench(DeploymentBench):
    provider_bench = BedrockBench
    kind = DeploymentKind.TOKEN
    creation = re.compile(r"/custom-model-deployments$")
    removal_seconds = 0.0

    @property
    def fake(self) -> BedrockDeployments:
        state: BedrockDeployments = cast(Any, self.inner.wire).app.state.deployments
        return state

    @property
    def start_seconds(self) -> float:
        return max(self.fake.start_seconds, self.fake.answer_seconds)

    def change_status(self, body: Any, word: str) -> Any:
        return body | {"status": word}

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        return body | {"customModelDeploymentArn": change(body["customModelDeploymentArn"])}

    def existing(self, account: str = "acme") -> dict[str, Any]:
        return {name: repr(each) for name, each in self.fake.of(account).items()}

    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        self.fake.add(account, name, model, self.now, description="the demo of another team")

    def fail_next(self, message: str) -> None:
        self.fake.failures.append(message)

    def remove_outside(self, name: str, account: str = "acme") -> None:
        del self.fake.of(account)[name]


def list_benches() -> list[type[DeploymentBench]]:
    """Return the bench of every provider: those of this module and of the modules named after a provider."""
    for path in sorted(Path(__file__).parent.glob("*_deployment_bench.py")):
        import_module(path.stem)
    return [each for each in DeploymentBench.__subclasses__() if "provider_bench" in vars(each)]
