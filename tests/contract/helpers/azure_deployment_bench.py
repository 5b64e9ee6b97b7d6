"""Benches of deployments at Azure, of both kinds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, cast

from deployment_bench import HOUR, DeploymentBench
from fake_azure_deployments import AzureDeployments
from provider_bench import AzureBench

from orchestrator.core.deployment.deployment_spec import DeploymentKind


class AzureDeploymentBench(DeploymentBench):
    """The Developer tier. Conflicts with other operations have tests of their own."""

    provider_bench = AzureBench
    kind = DeploymentKind.TOKEN
    creation = re.compile(r"/deployments/[^/]+$")
    removes_itself_after = 24 * HOUR
    unservable_model = "provisioned-only"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fake.one_at_a_time = False

    @property
    def fake(self) -> AzureDeployments:
        return cast(AzureBench, self.inner).deployments

    @property
    def start_seconds(self) -> float:
        return self.fake.start_seconds + self.fake.answer_seconds

    @property
    def removal_seconds(self) -> float:
        return self.fake.removal_seconds

    def change_status(self, body: Any, word: str) -> Any:
        return body | {"properties": body["properties"] | {"provisioningState": word}}

    def existing(self, account: str = "acme") -> dict[str, Any]:
        listed = self.fake.of(account).values()
        return {each.name: repr(each) for each in listed if self.fake.exists(each, self.now)}

    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        self.fake.add(account, name, model, self.now)

    def fail_next(self, message: str) -> None:
        self.fake.failures.append(message)

    def remove_outside(self, name: str, account: str = "acme") -> None:
        del self.fake.of(account)[name]


class AzureStandardBench(AzureDeploymentBench):
    """Standard deployments, billed by the hour."""

    kind = DeploymentKind.HOUR
    options: ClassVar[dict[str, Any]] = {"config": "Standard"}
    removes_itself_after = 15 * 24 * HOUR
