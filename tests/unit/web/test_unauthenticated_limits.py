"""What strangers may cause: wrong tokens, forged webhooks, streams from other sites, unknown addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast

import httpx2
import pytest
import structlog
from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from structlog.testing import capture_logs
from web_application import create_app
from web_values import NOW, WebServiceDouble, ready, token

from orchestrator import status
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.core.access_token import Role
from orchestrator.core.account import Account
from orchestrator.core.secret import Secret
from orchestrator.core.structs import force_setattr
from orchestrator.status import StoredEvent
from orchestrator.web.api import events as event_module
from orchestrator.web.auth.authenticator import MIN_STRONG_TOKEN_BYTES
from orchestrator.web.auth.login_throttle import MAX_FAILURES_PER_ADDRESS
from orchestrator.web.auth.middleware import MAX_ANONYMOUS_BODY_BYTES, MAX_BODY_BYTES
from orchestrator.web.rate_limited_reporter import RateLimitedReporter

LONG = "l" * MIN_STRONG_TOKEN_BYTES
HTML = {"Accept": "text/html,application/xhtml+xml"}
STREAM = {"Accept": "text/event-stream"}


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize(("right", "code"), [(LONG, 200), (LONG[1:], 429)])
async def test_wrong_tokens_of_others_throttle_a_short_token_only(right: str, code: int) -> None:
    async with WebServiceDouble(ready("acme"), token=right, read_token="another-" + right).client() as client:
        for number in range(MAX_FAILURES_PER_ADDRESS + 5):
            await client.get("/status", headers=bearer(f"{number}" * MIN_STRONG_TOKEN_BYTES))
        assert (await client.get("/status", headers=bearer(right))).status_code == code
        assert (await client.get("/status", headers=bearer("wrong" * 9))).status_code == 429
        assert (await client.post("/login", data={"token": right})).status_code == {200: 303}.get(code, code)


async def test_valid_tokens_are_not_throttled() -> None:
    async with WebServiceDouble(ready("acme"), token="short-token").client() as client:
        codes = [
            (await client.get("/status", headers=bearer("short-token"))).status_code
            for _ in range(5 * MAX_FAILURES_PER_ADDRESS)
        ]
    assert set(codes) == {200}


@pytest.mark.parametrize("path", ["/login", "/webhooks/openai/acme"])
async def test_open_path_has_a_small_body_limit(path: str) -> None:
    async with WebServiceDouble(ready("acme"), token=LONG).client() as client:
        for size, refused in ((MAX_ANONYMOUS_BODY_BYTES, False), (MAX_ANONYMOUS_BODY_BYTES + 1, True)):
            for content in (b"x" * size, pieces(size)):  # with its length, and without
                answer = await client.post(path, content=cast(Any, content))
                assert (answer.status_code == 413) == refused


async def test_authenticated_client_has_a_larger_body_limit() -> None:
    async with WebServiceDouble(ready("acme"), token=LONG).client(**bearer(LONG)) as client:
        for size, refused in ((MAX_BODY_BYTES, False), (MAX_BODY_BYTES + 1, True)):
            answer = await client.post("/api/v1/actions/hold", content=cast(Any, pieces(size)))
            assert (answer.status_code == 413) == refused


async def pieces(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 1000):
        yield b"x" * min(1000, size - start)


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}],
)
async def test_cross_site_page_gets_no_stream(headers: dict[str, str]) -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        answer = await client.get("/api/v1/events", headers=STREAM | headers)
    assert answer.status_code == 403
    assert answer.json()["hint"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


class Streams:
    """The application asked for streams by hand: a client of the tests would wait for their end."""

    def __init__(self, service: WebServiceDouble, lines: Sequence[StoredEvent] = ()) -> None:
        self.lines = list(lines)
        self.program = service.program(self._call)
        self.app = create_app(self.program)

    async def _call(self, ask: Any, /, after: int = 0, *, limit: int = 0) -> Any:
        return len(self.lines) if ask is status.get_latest_event_id else self.lines[after : after + limit]

    def open(self, sent: list[Any], text: str = "") -> asyncio.Task[None]:
        headers = {"host": "127.0.0.1", "accept": "text/event-stream"}
        headers |= {"authorization": f"Bearer {text}"} if text else {}
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/events",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }

        async def receive() -> Any:
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        return asyncio.create_task(cast(Any, self.app(scope, receive, send)))


async def test_streams_are_counted_on_admission() -> None:
    streams = Streams(WebServiceDouble(ready("acme")))
    answers: list[list[Any]] = [[] for _ in range(230)]
    tasks = [streams.open(sent) for sent in answers]
    await until(lambda: all(answers))
    codes = [sent[0]["status"] for sent in answers]
    assert (codes.count(200), codes.count(503)) == (200, 30)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    again: list[Any] = []
    task = streams.open(again)
    await until(lambda: bool(again))
    assert again[0]["status"] == 200, "the places were given back"
    task.cancel()


async def test_stream_of_a_revoked_token_ends_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_module, "TOKEN_CHECK_SECONDS", 0.5)
    service, sent = WebServiceDouble(ready("acme")), list[Any]()
    service.tokens = [token("ci", LONG, Role.READER)]
    streams = Streams(service)
    task = streams.open(sent, LONG)
    async with asyncio.timeout(60):
        while not task.done():
            number = len(streams.lines) + 1
            streams.lines.append(StoredEvent(id=number, at=NOW, cause="service", note="something", account="acme"))
            streams.program.committed.set()
            await asyncio.sleep(0.05)
            if number == 30:
                assert any(b"something" in message.get("body", b"") for message in sent)
                service.tokens = [token("ci", LONG, Role.READER, revoked_at=NOW)]
    assert len(streams.lines) >= 30


def count_bodies(sent: Sequence[Any], text: bytes) -> int:
    return sum(text in message.get("body", b"") for message in sent)


async def test_fifty_streams_share_the_list_of_tokens_and_the_text_of_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_module, "TOKEN_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(event_module, "TOKEN_LIST_SECONDS", 1000.0)
    service = WebServiceDouble(ready("acme"))
    service.tokens = [token("ci", LONG, Role.READER)]
    streams, built, listed = Streams(service), list[int](), list[int]()
    build_event, list_tokens = event_module.build_event, streams.program.list_tokens

    def build_counted(entry: StoredEvent) -> Any:
        built.append(entry.id)
        return build_event(entry)

    async def list_counted() -> Any:
        listed.append(1)
        return await list_tokens()

    monkeypatch.setattr(event_module, "build_event", build_counted)
    force_setattr(streams.program, "list_tokens", list_counted)
    event_module._format_event.cache_clear()
    answers: list[list[Any]] = [[] for _ in range(50)]
    tasks = [streams.open(sent, LONG) for sent in answers]
    await until(lambda: all(count_bodies(sent, b"keep-alive") > 2 for sent in answers))
    streams.lines.append(StoredEvent(id=1, at=NOW, cause="service", note="unique note", account="acme"))
    streams.program.committed.set()
    await until(lambda: all(count_bodies(sent, b"unique note") for sent in answers))
    assert built == [1]
    assert len(listed) == 50 + 1, "one for each request, and one for the checks of all streams"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def refuse_all(secret: Secret, headers: Mapping[str, str], body: bytes) -> None:
    return None


async def test_forged_webhooks_are_counted_and_logged_once() -> None:
    incoming = WebhookReceiver(refuse_all, structlog.get_logger())
    reference = cast(Any, "env:SECRET")
    account = cast(Account, type("Listed", (), {"name": "acme", "webhook_secret": reference})())
    incoming.configure([account], {reference: Secret("whsec_x")})
    nobody = cast(Any, None)
    with capture_logs() as lines:
        for _ in range(200):
            for name in ("acme", "nobody", "no-one"):
                assert not await incoming.receive(nobody, nobody, name, {}, b"")
        assert lines == [], "nothing is written while the client waits for its answer"
        await until(lambda: bool(lines))
        assert not await incoming.receive(nobody, nobody, "acme", {}, b"")
        await asyncio.sleep(1.5)
    (line,) = lines
    assert (line["event"], line["count"], line["accounts"]) == ("webhook.refused", 600, {"acme": 200})
    assert line["unknown_accounts"] == 400


async def test_report_is_rate_limited_without_losing_counts() -> None:
    reports: list[dict[str, int]] = []
    report = RateLimitedReporter(
        lambda counts: reports.append(dict(counts)), interval_seconds=0.5, delay_seconds=0.01
    )
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(100):
        report.add("a")
        await asyncio.sleep(0.01)
    report.flush()
    report.flush()
    assert len(reports) <= (loop.time() - begin) / 0.5 + 2
    assert sum(each["a"] for each in reports) == 100


@pytest.mark.parametrize(
    "path", ["/status", "/api/v1/jobs", "/api/v1/nowhere", "/login", "/accounts/nobody", "/nowhere"]
)
async def test_answers_are_not_cached_by_default(path: str) -> None:
    async with WebServiceDouble(ready("acme"), token=LONG).client(**bearer(LONG)) as client:
        answers = [await client.get(path), await client.get(path, headers=HTML)]
    async with WebServiceDouble(ready("acme"), token=LONG).client() as stranger:
        answers.append(await stranger.get(path))
    for answer in answers:
        assert answer.headers["cache-control"] in {"no-store", "no-cache"}, answer


async def test_static_files_may_be_cached() -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        assert "cache-control" not in (await client.get("/static/style.css")).headers


async def test_internal_error_is_not_cached() -> None:
    service = WebServiceDouble()
    service.status = RuntimeError("a bug")
    async with service.client() as client:
        answers = [await client.get("/status"), await client.get("/", headers=HTML)]
    assert [answer.status_code for answer in answers] == [500, 500]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert f"<h1>{answers[0].json()['detail']}</h1>" in answers[1].text


async def test_authentication_uses_the_path_not_the_host_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette 1.0 made of `Host: x/login?` a URL whose path needs no token."""
    monkeypatch.setattr(HTTPConnection, "url", URL("http://x/login?/status"))
    async with WebServiceDouble(ready("acme"), token=LONG).client() as client:
        assert (await client.get("/status")).status_code == 401
        assert (await client.get("/status", headers=HTML)).headers["location"] == "/login?to=%2Fstatus"


async def test_duplicate_host_headers_are_refused() -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        hosts = [("Host", "127.0.0.1"), ("Host", "evil.example")]
        assert (await client.get("/status", headers=httpx2.Headers(hosts))).status_code == 400


@pytest.mark.parametrize("path", ["/nowhere", "/accounts/nobody", "/datasets/none"])
async def test_browser_gets_an_error_page_and_a_program_gets_json(path: str) -> None:
    async with WebServiceDouble(ready("acme"), token=LONG).client(**bearer(LONG)) as client:
        page, problem = await client.get(path, headers=HTML), await client.get(path)
        part = await client.get(path, headers=HTML | {"HX-Request": "true"})
        api = await client.get("/api/v1/nowhere", headers=HTML)
    assert (page.status_code, problem.status_code) == (404, 404)
    assert page.headers["content-type"].startswith("text/html")
    assert f"<h1>{problem.json()['detail']}</h1>" in page.text
    assert 'href="/"' in page.text
    assert page.headers["x-frame-options"] == "DENY"
    for answer in (problem, part, api):
        assert answer.headers["content-type"] == "application/problem+json"


async def test_error_page_is_escaped() -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        answer = await client.get("/accounts/%3Cscript%3Ealert(1)", headers=HTML)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


async def test_browser_with_a_foreign_host_gets_an_error_page() -> None:
    async with WebServiceDouble(ready("acme")).client("http://evil.example") as client:
        answer = await client.get("/", headers=HTML)
    assert answer.status_code == 421
    assert "ORCHESTRATOR_TOKEN" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
