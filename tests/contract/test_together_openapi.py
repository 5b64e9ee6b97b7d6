"""Our traffic with Together, and our fake's answers, against the vendor's published document."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from openapi import CONTRACTS, Contract, Recorder
from provider_bench import LINES, TAG, TogetherBench, Wire
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.core.remote import RemoteJobStatus
from orchestrator.providers.http.client import HttpClient
from orchestrator.sandbox import Fault

DOCUMENT = "together.openapi.json"

# The document is older than the vendor's SDK 3.1.1. Where they differ the SDK is believed, and here is said why.
# What the document lacks altogether cannot differ: /v3/whoami, POST /files and its preprocess, `processing_status`.
DIFFERENCES = {
    r"POST /v1/files 302: content type ''": "the SDK's upload is answered by a redirect without a body",
    r"PUT /storage/.* 200: content type ''": "the provider's storage, not its API",
    r"GET /v1/fine-tunes/[^/]+/metrics request: .*": "the SDK asks in the query, the document by a body of a GET",
    r"POST /v1/fine-tunes/[^/]+/cancel request: a body where none belongs": "the SDK sends an empty object",
}


@pytest.fixture
def contract() -> Contract:
    path = CONTRACTS / DOCUMENT
    if not path.is_file():
        pytest.skip(f"the published contract ../shared/contracts/{DOCUMENT} is not here")
    document = json.loads(path.read_text())
    for name, operations in document["paths"].items():
        for method, operation in operations.items():
            operation.setdefault("operationId", f"{method} {name}")
    return Contract(document)


class RecordedBench(TogetherBench):
    """The bench with every exchange kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.recorder = Recorder()
        self.http = HttpClient(Wire(self.application()))
        self.http.sdk_client.event_hooks = self.recorder.hooks
        self.connect = self.connector()(self.http, self.redact)


class FormOnlyBench(RecordedBench):
    """A server of the document's time: a file comes as a form, and there is neither whoami in v3 nor preprocess."""

    def application(self) -> ASGIApp:
        app = super().application()

        async def older(scope: Scope, receive: Receive, send: Send) -> None:
            later = {("POST", "/v1/files"), ("GET", "/v3/whoami")}
            if (scope["method"], scope["path"]) in later or scope["path"].endswith("/preprocess"):
                scope = {**scope, "path": "/not/there"}
            elif scope["path"] == "/v1/whoami":
                scope = {**scope, "path": "/v3/whoami"}
            await app(scope, receive, send)

        return older


async def call_every_operation(bench: RecordedBench) -> None:
    """All that the adapter ever asks, with every option, and both ways to upload."""
    provider = bench.provider()
    await provider.verify()
    file = await bench.ready_file(provider)
    await provider.find_file(bench.file())
    await provider.upload_file(bench.file(), bench.deadline())
    order = bench.order(
        file, n_epochs=2, batch_size=4, learning_rate=1e-4, lora=True, lora_rank=8, context_length=4096, seed=7
    )
    await provider.find_jobs(order)
    job = await provider.create_job(order, bench.deadline())
    plain = await provider.create_job(bench.order(file, TAG[:-1] + "1", n_epochs="auto"), bench.deadline())
    full = bench.order(file, TAG[:-1] + "2", lora=False, method="dpo")
    await provider.create_job(full, bench.deadline())
    assert (await provider.cancel_job(plain.id)).status is RemoteJobStatus.CANCELLED
    bench.now += 100
    assert (await provider.get_job(job.id)).fine_tuned_model
    await provider.events(job.id)
    await provider.losses(job.id, 0)
    bench.faults(Fault("fail_job"))
    failing = await provider.create_job(bench.order(file, TAG[:-1] + "3"), bench.deadline())
    bench.now += 100
    assert (await provider.get_job(failing.id)).error_message
    await provider.delete_file(file.id)


async def test_program_traffic_matches_the_openapi_document(tmp_path: Path, contract: Contract) -> None:
    bench = RecordedBench(tmp_path)
    await call_every_operation(bench)
    problems = bench.recorder.problems(contract)
    known = [pattern for pattern in DIFFERENCES if any(re.fullmatch(pattern, problem) for problem in problems)]
    assert [p for p in problems if not any(re.fullmatch(pattern, p) for pattern in known)] == []


async def test_documented_form_is_accepted(tmp_path: Path, contract: Contract) -> None:
    bench = FormOnlyBench(tmp_path)
    provider = bench.provider()
    assert (await provider.verify()).organization == "org-acme"
    file = await bench.ready_file(provider)
    assert bench.contents() == [LINES.encode()]
    again = await provider.upload_file(bench.file(), bench.deadline())
    assert again.id == file.id
    uploads = [exchange for exchange in bench.recorder.exchanges if exchange.url.endswith("/files/upload")]
    assert [exchange.status for exchange in uploads] == [200, 409]
    assert [problem for exchange in uploads for problem in exchange.problems(contract)] == []


async def test_every_listed_difference_still_exists(tmp_path: Path, contract: Contract) -> None:
    bench = RecordedBench(tmp_path)
    await call_every_operation(bench)
    problems = bench.recorder.problems(contract)
    assert [pattern for pattern in DIFFERENCES if not any(re.fullmatch(pattern, p) for p in problems)] == []


async def test_every_contract_operation_was_used(tmp_path: Path, contract: Contract) -> None:
    bench = RecordedBench(tmp_path)
    await call_every_operation(bench)
    assert set(bench.recorder.operations(contract)) >= {
        "get /files",
        "get /files/{id}",
        "delete /files/{id}",
        "post /fine-tunes",
        "get /fine-tunes",
        "get /fine-tunes/{id}",
        "post /fine-tunes/{id}/cancel",
        "get /fine-tunes/{id}/events",
        "get /fine-tunes/{id}/metrics",
        "post /fine-tunes/estimate-price",
    }
