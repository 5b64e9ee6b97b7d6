"""The bench of deployments at Nebius."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deployment_bench import DeploymentBench
from fake_nebius_deployments import FakeNebius
from provider_bench import NebiusBench

from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.errors import RequestRejected


class NebiusDeploymentBench(DeploymentBench):
    provider_bench = NebiusBench
    kind = DeploymentKind.TOKEN
    creation = re.compile(r"/v0/models$")
    refuses_name = False
    is_found_by_name = False
    error_without_right = RequestRejected

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fake.hides_first_status = False

    @property
    def fake(self) -> FakeNebius:
        assert isinstance(self.inner, NebiusBench)
        return self.inner.nebius

    @property
    def start_seconds(self) -> float:
        return self.fake.start_seconds + self.fake.answer_seconds

    @property
    def removal_seconds(self) -> float:
        return 0.0

    def change_status(self, body: Any, word: str) -> Any:
        return body | {"status": word}

    def existing(self, account: str = "acme") -> dict[str, Any]:
        return {name: repr(each) for name, each in self.fake.of(account).items()}

    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        self.fake.add(account, name, f"ftjob-of-somebody:{model}", self.now)

    def fail_next(self, message: str) -> None:
        self.fake.failures.append(message)

    def remove_outside(self, name: str, account: str = "acme") -> None:
        known = self.fake.of(account)
        for full in [each for each in known if f":{name}-" in each]:
            del known[full]
