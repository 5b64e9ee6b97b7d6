"""The bench of deployments at Together."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from deployment_bench import DeploymentBench
from fake_together_deployments import FakeDeployment, FakeEndpoint, FakeTogetherDeployments
from provider_bench import TogetherBench


class TogetherDeploymentBench(DeploymentBench):
    provider_bench = TogetherBench
    creation = re.compile(r"/deployments$")
    keeps_stop_time = False
    is_found_by_name = False
    unservable_model = "google/gemma-3-27b-it"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fake.warm_calls = 0

    @property
    def fake(self) -> FakeTogetherDeployments:
        state: FakeTogetherDeployments = cast(Any, self.inner.wire).app.state.deployments
        return state

    @property
    def start_seconds(self) -> float:
        return self.fake.start_seconds

    @property
    def removal_seconds(self) -> float:
        return self.fake.start_seconds / 2

    def change_status(self, body: Any, word: str) -> Any:
        return body | {"status": body["status"] | {"state": word}}

    def change_id(self, body: Any, change: Callable[[str], str]) -> Any:
        return body | {"id": change(body["id"])}

    def existing(self, account: str = "acme") -> dict[str, Any]:
        return {each.id: repr(each) for each in self.fake.deployments(account)}

    def add_foreign(self, name: str, model: str, account: str = "acme") -> None:
        body = {
            "name": "theirs",
            "model": f"projects/proj_{account}/models/{model.rpartition('/')[2]}/revisions/rv_1",
            "config": "projects/proj_together/configs/cr_h100",
            "autoscaling": {"minReplicas": 1, "maxReplicas": 1},
        }
        deployment = FakeDeployment(f"dep_{name}", "theirs", body, self.now, self.now)
        endpoint = FakeEndpoint(f"ep_{name}", name, self.now, deployments={deployment.id: deployment})
        self.fake.endpoints.setdefault(account, {})[endpoint.id] = endpoint

    def fail_next(self, message: str) -> None:
        self.fake.failures.append(message)

    def remove_outside(self, name: str, account: str = "acme") -> None:
        endpoints = self.fake.endpoints[account]
        for endpoint in [each for each in endpoints.values() if each.name == name]:
            del endpoints[endpoint.id]
