"""The benches of deployments at DashScope: one for each plan."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, cast

from deployment_bench import DeploymentBench
from fake_dashscope_deployments import MONTH, FakeDashScopeDeployments, FakeDeployment
from provider_bench import DashScopeBench

from orchestrator.core.deployment.deployment_spec import DeploymentKind


class DashScopeDeploymentBench(DeploymentBench):
    """Billed per token."""

    provider_bench = DashScopeBench
    kind = DeploymentKind.TOKEN
    creation = re.compile(r"/deployments$")
    removes_itself_after: ClassVar[float | None] = MONTH
    keeps_stop_time = False
    shows_tags = False

    @property
    def fake(self) -> FakeDashScopeDeployments:
        state: FakeDashScopeDeployments = cast(Any, self.inner.wire).app.state.deployments
        return state

    @property
    def start_seconds(self) -> float:
        return self.fake.start_seconds + self.fake.answer_seconds

    @property
    def removal_seconds(self) -> float:
        return self.fake.removal_seconds

    def change_status(self, body: Any, word: str) -> Any:
        return body | {"output": body["output"] | {"status": word}}

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        return body | {"output": body["output"] | {"deployed_model": change(body["output"]["deployed_model"])}}

    def existing(self, account: str = "acme") -> dict[str, Any]:
        return {name: repr(each) for name, each in self.fake.of(account).items()}

    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        body = {"model_name": model, "plan": "mu", "capacity": 4, "suffix": name}
        deployed = f"{model}-{name}"
        self.fake.of(account)[deployed] = FakeDeployment(deployed, body, self.now, self.now)

    def fail_next(self, message: str) -> None:
        self.fake.failures.append(message)

    def remove_outside(self, name: str, account: str = "acme") -> None:
        known = self.fake.of(account)
        for deployed in [each for each in known if each.endswith(f"-{name}")]:
            del known[deployed]


class DashScopeHourlyDeploymentBench(DashScopeDeploymentBench):
    """Billed by the hour."""

    kind = DeploymentKind.HOUR
    options: ClassVar[dict[str, Any]] = {"hardware": "MU1"}
    removes_itself_after = None
