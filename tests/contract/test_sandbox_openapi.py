"""The checker of HTTP messages finds what is wrong, so that its silence means something."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from openapi import Contract, Recorder
from sandboxes import MODEL, InProcess

URL = "http://host/v1/fine_tuning/jobs"
JSON = "application/json"


@pytest.fixture
def contract() -> Contract:
    return Contract.load("openai.openapi.json")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"model": MODEL}, "'training_file' is a required property"),
        ({"model": MODEL, "training_file": "f", "seed": -1}, "$.seed"),
        ({"model": MODEL, "training_file": "f", "suffix": ""}, "$.suffix"),
        ({"model": MODEL, "training_file": "f", "metadata": {"a": 1}}, "$.metadata"),
        ({"model": MODEL, "training_file": "f", "method": {"type": "magic"}}, "$.method.type"),
    ],
)
def test_wrong_body_is_reported(contract: Contract, body: dict[str, Any], told: str) -> None:
    problems = contract.check_request("POST", URL, JSON, json.dumps(body).encode())
    assert len(problems) == 1
    assert told in problems[0]


def test_a_right_body_passes(contract: Contract) -> None:
    body = {"model": MODEL, "training_file": "f", "seed": None, "metadata": {"a": "1"}}
    assert contract.check_request("POST", URL, JSON, json.dumps(body).encode()) == []


@pytest.mark.parametrize("query", ["limit=many", "page=2", "metadata=1"])
def test_wrong_query_is_reported(contract: Contract, query: str) -> None:
    assert len(contract.check_request("GET", f"{URL}?{query}", "", b"")) == 1


@pytest.mark.parametrize("query", ["limit=5&after=ftjob-1", "metadata[a]=1", "metadata%5Ba%5D=1", "metadata=null"])
def test_a_right_query_passes(contract: Contract, query: str) -> None:
    assert contract.check_request("GET", f"{URL}?{query}", "", b"") == []


def test_unexpected_body_is_reported(contract: Contract) -> None:
    assert contract.check_request("POST", f"{URL}/ftjob-1/cancel", JSON, b"{}") == ["a body where none belongs"]


async def test_a_form_is_read(contract: Contract) -> None:
    async def problems(**fields: str) -> list[str]:
        request = httpx2.Request("POST", "http://host/v1/files", data=fields, files={"file": ("a.jsonl", b"{}\n")})
        await request.aread()
        return contract.check_request("POST", str(request.url), request.headers["content-type"], request.content)

    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    assert await problems(purpose="fine-tune", **expiry) == []
    assert len(await problems(purpose="fun")) == 1
    assert len(await problems(purpose="fine-tune", note="x")) == 1
    assert len(await problems()) == 1


async def test_wrong_answers_are_reported(contract: Contract) -> None:
    sandbox = InProcess()
    async with sandbox.client() as client:
        job = await sandbox.start(client)
    for change in ({"status": "dreaming"}, {"created_at": "today"}, {"error": "none"}, {"seed": None}):
        problems = contract.check_response("POST", URL, 200, JSON, json.dumps(job | change).encode())
        assert len(problems) == 1, change
    assert contract.check_response("POST", URL, 201, JSON, json.dumps(job).encode()) == ["status 201, expected 200"]
    assert contract.check_response("POST", URL, 400, JSON, b'{"error": "no"}') != []
    assert contract.check_response("POST", URL, 200, "text/html", b"<p>") == ["content type 'text/html'"]


async def test_the_recorder_keeps_errors_and_names_where(contract: Contract) -> None:
    recorder, sandbox = Recorder(), InProcess()
    async with sandbox.client() as client:
        client.event_hooks = recorder.hooks
        await client.get("/fine_tuning/jobs", params={"limit": 0, "page": 1})
    assert recorder.problems(contract) == ["GET /v1/fine_tuning/jobs request: unknown query parameter 'page'"]
    assert recorder.exchanges[0].status == 400
    assert not recorder.operations(contract)
