"""Which error a failed call raises: whether the next attempt may create again without a look-up depends on it."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from orchestrator.core.errors import (
    JobLimitReached,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    TemporaryError,
    UnknownOutcome,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import Deadline
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.deadline import check_deadline, is_write_call, send_deadline
from orchestrator.providers.http.rest_client import RestClient

IN_TIME = Deadline(100.0, lambda: 0.0)
TOO_LATE = Deadline(100.0, lambda: 200.0)


def connect(answer: Callable[[httpx2.Request], httpx2.Response]) -> RestClient:
    def answer_in_time(request: httpx2.Request) -> httpx2.Response:
        check_deadline()  # as the transport does before it sends
        return answer(request)

    http = HttpClient(httpx2.MockTransport(answer_in_time))
    key = Secret("key-of-acme")
    return RestClient(
        http,
        "https://api.example/v1",
        key=key,
        account="acme",
        redact=Redactor(),
        error_codes={"slots": JobLimitReached},
    )


def respond(status: int, code: str = "") -> Callable[[httpx2.Request], httpx2.Response]:
    body = {"error": {"code": code, "message": "no"}}
    return lambda _: httpx2.Response(status, json=body, headers={"x-request-id": "req-1"})


def fail(error: Exception) -> Callable[[httpx2.Request], httpx2.Response]:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise error

    return answer


async def create(client: RestClient, deadline: Deadline = IN_TIME) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        async with client.write_call(deadline):
            await client.post_json("/jobs", {})
    assert caught.value.account == "acme"
    return caught.value


@pytest.mark.parametrize(("status", "code", "kind"), [
    (400, "", RequestRejected), (400, "slots", JobLimitReached), (409, "slots", JobLimitReached),
    (429, "", RateLimited),
])  # fmt: skip
async def test_refused_create_has_the_kind_of_its_refusal(status: int, code: str, kind: type[ProviderError]) -> None:
    error = await create(connect(respond(status, code)))
    assert type(error) is kind
    assert error.request_id == "req-1"


@pytest.mark.parametrize("status", [302, 408, 409, 425, 500, 502, 503])
async def test_create_that_may_have_had_an_effect_has_an_unknown_outcome(status: int) -> None:
    error = await create(connect(respond(status)))
    assert type(error) is UnknownOutcome
    assert error.message.startswith(f"the response was lost: {status}: ")
    assert error.request_id == "req-1"


@pytest.mark.parametrize("error", [httpx2.ReadError("reset"), httpx2.ReadTimeout("slow"), OSError("gone")])
async def test_create_whose_connection_broke_has_an_unknown_outcome(error: Exception) -> None:
    assert type(await create(connect(fail(error)))) is UnknownOutcome


async def test_create_with_an_unreadable_response_has_an_unknown_outcome() -> None:
    error = await create(connect(lambda _: httpx2.Response(200, content=b"<html>")))
    assert type(error) is UnknownOutcome
    assert "<html>" in error.message


async def test_create_without_a_connection_had_no_effect() -> None:
    assert type(await create(connect(fail(httpx2.ConnectError("refused"))))) is ProviderUnavailable


async def test_create_after_its_deadline_is_not_sent() -> None:
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, json={})

    error = await create(connect(answer), TOO_LATE)
    assert sent == []
    assert type(error) is TemporaryError
    assert error.message == "nothing was sent: the time for sending this request had passed"


@pytest.mark.parametrize("error", [httpx2.ReadError("reset"), httpx2.ConnectError("refused"), TimeoutError()])
async def test_failed_read_is_simply_repeated(error: Exception) -> None:
    client = connect(fail(error))
    with pytest.raises(ProviderUnavailable) as caught:
        async with client.read_call():
            await client.get("/jobs")
    assert caught.value.account == "acme"


async def test_unreadable_read_names_the_account_and_quotes_the_response() -> None:
    client = connect(lambda _: httpx2.Response(200, content=b"<html>"))
    with pytest.raises(ProviderUnavailable, match="<html>") as caught:
        async with client.read_call():
            await client.get_json("/jobs")
    assert caught.value.account == "acme"


def test_only_calls_with_a_deadline_are_write_calls() -> None:
    assert is_write_call() is False
    with send_deadline(IN_TIME):
        assert is_write_call() is True
    assert is_write_call() is False
