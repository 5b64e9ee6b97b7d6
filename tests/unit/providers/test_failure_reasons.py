"""What a provider's own form of a failure becomes: a reason for people, a missing file, a lost connection."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderError, ProviderUnavailable, RemoteNotFound, RequestRejected
from orchestrator.core.remote import RemoteJob
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.dashscope import dashscope_provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.together import together_provider

KEY = Secret("key-of-acme")


def account(provider: ProviderName) -> Account:
    return Account(name="acme", provider=provider, api_key="env:KEY")


async def get_together_job(**values: Any) -> RemoteJob:
    job = {"id": "ft-1", "status": "error", "training_file": "file-1", "model": "llama", **values}
    async with HttpClient(httpx2.MockTransport(lambda _: httpx2.Response(200, json=job))) as http:
        connect = together_provider.build_provider_factory(http, Redactor())
        return await connect(account(ProviderName.TOGETHER), KEY).get_job("ft-1")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([{"level": "error", "message": "first"}, {"level": "error", "message": "last"}], "last"),
        ([{"level": "error", "message": "bad data"}, {"level": "info", "message": "stopped"}], "bad data"),
        ([{"level": "info", "message": "started"}], None),
        ([{"level": "error", "message": 5}], None),
        (["odd", {"level": "error", "message": "bad data"}], "bad data"),
        ([], None),
        (None, None),
        ("odd", None),
    ],
)
async def test_failed_job_of_together_has_the_last_error_of_its_events(events: Any, reason: str | None) -> None:
    assert (await get_together_job(events=events)).error_message == reason


async def test_job_of_together_that_has_not_failed_has_no_reason() -> None:
    job = await get_together_job(status="running", events=[{"level": "error", "message": "retried"}])
    assert job.error_message is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", RemoteNotFound),
        (400, "Other", RequestRejected),
        (404, "Other", RemoteNotFound),
        (422, "InvalidParameter", RequestRejected),
        (500, "InvalidParameter", ProviderUnavailable),
    ],
)
async def test_unknown_file_of_dashscope_is_missing_although_its_status_is_400(
    status: int, code: str, kind: type[ProviderError]
) -> None:
    body = {"code": code, "message": "no", "request_id": "req-1"}
    async with HttpClient(httpx2.MockTransport(lambda _: httpx2.Response(status, json=body))) as http:
        connect = dashscope_provider.build_provider_factory(http, Redactor())
        with pytest.raises(ProviderError) as caught:
            await connect(account(ProviderName.DASHSCOPE), KEY).get_file("file-1")
    assert type(caught.value) is kind
