"""Servers that speak OpenAI's API and do not say whether a list has another page: no job of ours is passed over."""

from __future__ import annotations

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import JobOrder
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import build_provider_factory

ORDER = JobOrder(
    tag="1234567890abcdef.1", spec=TrainingSpec(base_model="m"), training_file="file-1", validation_file=None
)


class Plain:
    """A server with some jobs, of which the last in the list is ours."""

    def __init__(self, jobs: int, per_page: int, *, follows_cursor: bool = True) -> None:
        self.asked = 0
        self._per_page = per_page
        self._follows_cursor = follows_cursor
        self._jobs = [
            {"id": f"ftjob-{n}", "status": "running", "model": "m", "training_file": "file-1", "suffix": f"job-{n}"}
            for n in range(jobs)
        ]
        self._jobs[-1]["suffix"] = "1234567890abcdef-1"

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        after, start = request.url.params.get("after"), 0
        if after and self._follows_cursor:
            start = 1 + next(place for place, job in enumerate(self._jobs) if job["id"] == after)
        return httpx2.Response(200, json={"data": self._jobs[start : start + self._per_page]})


@pytest.mark.parametrize("jobs", [1, 20, 21, 60])
@pytest.mark.parametrize("per_page", [20, 100])
async def test_pages_that_are_smaller_than_was_asked_for_are_followed(jobs: int, per_page: int) -> None:
    server = Plain(jobs, per_page)
    assert await found(server) == [f"ftjob-{jobs - 1}"]
    assert server.asked == -(-jobs // per_page) + 1


@pytest.mark.parametrize("jobs", [1, 100, 250])
async def test_server_without_paging_is_asked_once_more_only(jobs: int) -> None:
    server = Plain(jobs, per_page=1000, follows_cursor=False)
    assert await found(server) == [f"ftjob-{jobs - 1}"]
    assert server.asked == 2


async def found(server: Plain) -> list[str]:
    account = Account(
        name="acme", provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY", base_url="https://far.example/v1"
    )
    async with HttpClient(httpx2.MockTransport(server)) as http:
        provider = build_provider_factory(http, Redactor())(account, Secret("key-of-acme"))
        return [job.id for job in await provider.find_jobs(ORDER)]
