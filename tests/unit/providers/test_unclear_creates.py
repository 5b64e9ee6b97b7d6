"""Calls that create something and go wrong in a way that says nothing about whether it happened."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import JobLimitReached, ProviderError, QuotaExhausted, UnknownOutcome
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder
from orchestrator.providers.fireworks import fireworks_provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai import openai_provider
from orchestrator.providers.together import together_provider

KEY = Secret("key-of-acme")
DEADLINE = Deadline(100.0, lambda: 0.0)
ORDER = JobOrder(
    tag="1234567890abcdef.1",
    spec=TrainingSpec(base_model="accounts/fireworks/models/llama"),
    training_file="accounts/acme/datasets/d",
    validation_file=None,
)


def account(provider: ProviderName) -> Account:
    return Account(name="acme", provider=provider, api_key="env:KEY", organization="acme")


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_existing_unreadable_job_is_looked_up_later(status: int) -> None:
    """A conflict says that the job exists: neither a failed read nor a lagging one makes it fail or disappear."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(409 if request.method == "POST" else status, json={"error": {"message": "no"}})

    async with HttpClient(httpx2.MockTransport(answer)) as http:
        provider = fireworks_provider.build_provider_factory(http, Redactor())(account(ProviderName.FIREWORKS), KEY)
        with pytest.raises(UnknownOutcome, match="exists already"):
            await provider.create_job(ORDER, DEADLINE)


async def test_invalid_upload_url_is_a_provider_error(tmp_path: Path) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        headers = {"location": "https://storage.example/" + 70_000 * "x", "x-together-file-id": "file-1"}
        return httpx2.Response(302, headers=headers)

    path = tmp_path / "data.jsonl"
    path.write_bytes(b"{}\n")
    wanted = DatasetFile(path=path, filename="orchestrator-1.jsonl", bytes=3, sha256="0" * 64, examples=1)
    async with HttpClient(httpx2.MockTransport(answer)) as http:
        provider = together_provider.build_provider_factory(http, Redactor())(account(ProviderName.TOGETHER), KEY)
        with pytest.raises(UnknownOutcome, match="upload address"):
            await provider.upload_file(wanted, DEADLINE)


@pytest.mark.parametrize("provider", [ProviderName.OPENAI, ProviderName.TOGETHER])
@pytest.mark.parametrize("status", [302, 408, 499, 500, 503])
async def test_known_code_with_an_unclear_status_is_not_a_refusal(provider: ProviderName, status: int) -> None:
    """A gateway's 500 may carry any body: the request can have reached the server that creates the job."""
    error = await error_of_create(provider, status, "insufficient_quota")
    assert isinstance(error, UnknownOutcome)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "insufficient_quota", QuotaExhausted),
        (429, "insufficient_quota", QuotaExhausted),
        (409, "too_many_running_jobs", JobLimitReached),
    ],
)
async def test_known_code_explains_a_refusing_status(status: int, code: str, expected: type[ProviderError]) -> None:
    assert type(await error_of_create(ProviderName.OPENAI, status, code)) is expected


async def error_of_create(provider: ProviderName, status: int, code: str) -> ProviderError:
    """The error of a create that is answered with this status and code."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("estimate-price"):
            return httpx2.Response(400, json={})
        return httpx2.Response(status, json={"error": {"message": "no", "code": code}})

    connector = (
        together_provider.build_provider_factory
        if provider is ProviderName.TOGETHER
        else openai_provider.build_provider_factory
    )
    async with HttpClient(httpx2.MockTransport(answer)) as http:
        with pytest.raises(ProviderError) as caught:
            await connector(http, Redactor())(account(provider), KEY).create_job(ORDER, DEADLINE)
    return caught.value
