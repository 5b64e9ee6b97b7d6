"""The option `suffix_length` was changed after a create: the job that it left without a tag is still in the way."""

from __future__ import annotations

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import AmbiguousRemoteJob
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import JobOrder
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import build_provider_factory

SPEC = TrainingSpec(base_model="m", suffix="my-model")
ORDER = JobOrder(tag="1234567890abcdef.1", spec=SPEC, training_file="file-1", validation_file=None)
JOB = {"id": "ftjob-1", "status": "running", "model": "m", "training_file": "file-1"}


async def find(shown: dict[str, str], suffix_length: int | None) -> list[str]:
    answer = {"data": [JOB | shown], "has_more": False}
    account = Account(
        name="acme",
        provider=ProviderName.OPENAI_COMPATIBLE,
        api_key="env:KEY",
        base_url="https://far.example/v1",
        suffix_length=suffix_length,
    )
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer))
    async with HttpClient(transport) as http:
        provider = build_provider_factory(http, Redactor())(account, Secret("key-of-acme"))
        return [job.id for job in await provider.find_jobs(ORDER)]


@pytest.mark.parametrize("suffix_length", [8, None])
@pytest.mark.parametrize("suffix", ["my-model", "my"])
async def test_job_with_the_suffix_but_no_tag_is_ambiguous(suffix: str, suffix_length: int | None) -> None:
    with pytest.raises(AmbiguousRemoteJob):
        await find({"suffix": suffix}, suffix_length)


@pytest.mark.parametrize("shown", [{"suffix": "another"}, {"suffix": "my", "training_file": "file-2"}])
async def test_job_with_another_suffix_or_file_is_ignored(shown: dict[str, str]) -> None:
    assert await find(shown, None) == []


async def test_tag_decides_where_it_is_present() -> None:
    assert await find({"suffix": "my-model-1234567890abcdef-1"}, None) == ["ftjob-1"]
