"""A server that gives the responses of a test, for what a dialect does with responses that no fake gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.registry import ProviderRegistry

DEADLINE = Deadline(100.0, lambda: 0.0)
JOB_ORDER = JobOrder(
    tag="0123456789abcdef.0",
    spec=TrainingSpec(base_model="base"),
    training_file="file-1",
    validation_file=None,
)
Step = tuple[int, Any] | httpx2.Response | Exception  # a status with JSON, or a failure


class ScriptedServer:
    """Answers a request with the next step of its method and path; the last step is repeated."""

    def __init__(self, steps: Mapping[str, Step | list[Step]]) -> None:
        self._steps = {name: list(each) if isinstance(each, list) else [each] for name, each in steps.items()}
        self.requests: list[httpx2.Request] = []
        self.redact = Redactor()
        self.http = HttpClient(httpx2.MockTransport(self._respond))

    @property
    def seen(self) -> list[str]:
        """Return the methods and paths of the requests."""
        return [f"{each.method} {each.url.path}" for each in self.requests]

    def connect(self, provider: ProviderName, *, key: str = "key-of-acme", **options: Any) -> Any:
        """Connect an account of the provider to this server."""
        account = Account(name="acme", provider=provider, api_key="env:KEY", **options)
        registry = ProviderRegistry(self.http, self.redact, _load_secret)
        return registry.get_factory(provider)(account, Secret(key))

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        steps = self._steps[f"{request.method} {request.url.path}"]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx2.Response):
            return step
        status, body = step
        return httpx2.Response(status, json=body)


def create_dataset_file(folder: Path) -> DatasetFile:
    """Create a file of one line."""
    path = folder / "data.jsonl"
    path.write_bytes(b"{}\n")
    return DatasetFile(path=path, filename="orchestrator-1.jsonl", bytes=3, sha256="0" * 64, examples=1)


async def _load_secret(reference: str) -> Secret:
    return Secret(f"secret-of-{reference}")
