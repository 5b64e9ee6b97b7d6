"""The web server: without the right token a client gets nothing, changes nothing and stops nothing."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest
from api_values import OPERATOR, READER
from hypothesis import HealthCheck, Phase, settings
from machine_speed import scale_seconds
from web_fuzzing import PUBLIC_PATHS, PUBLIC_PREFIXES, ServedDoor, find_faults, list_operations, list_routes

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "TRACE")
SAFE_METHODS = ("GET", "HEAD")
FORM_ACTION = {"verb": "hold", "account": "acme", "expect": "1"}
JSON_ACTION = {"accounts": ["acme"], "expect": 1}
VALUES = {"run": "current", "job": "x", "account": "acme", "name": "acme", "sha256": "0" * 64, "file": "style.css"}
WRONG_TOKENS = ("", "x", OPERATOR[:-1], OPERATOR.upper(), f"{OPERATOR} {OPERATOR}", "orch_")
FOREIGN_PAGES = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
)
PRINTABLE = "".join(map(chr, range(33, 127)))
TIMEOUT = scale_seconds(60)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDoor]:
    door = ServedDoor(tmp_path_factory.mktemp("door"))
    yield door
    door.close()


@pytest.fixture(scope="module")
def client(door: ServedDoor) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=door.url, timeout=TIMEOUT, trust_env=False) as client:
        yield client


def list_paths(door: ServedDoor) -> list[str]:
    """The path of every route, with values that exist in place of its parameters."""
    fill = lambda match: VALUES.get(match[1], "1")  # noqa: E731
    return sorted({re.sub(r"{(\w+)}", fill, path) for _, path in list_routes(door.app)})


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)


def test_no_route_answers_without_the_right_token(door: ServedDoor, client: httpx2.Client) -> None:
    before, wrong = door.list_events(), list[tuple[object, ...]]()
    for number, path in enumerate(list_paths(door)):
        for method in METHODS:
            token = WRONG_TOKENS[number % len(WRONG_TOKENS)]
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = client.request(method, path, headers=headers)
            if not is_public(path) and answer.status_code not in {400, 401}:
                wrong.append((method, path, answer.status_code))
            if "acme" in answer.text.replace(path, ""):
                wrong.append((method, path, "it shows an account"))
    assert wrong == []
    assert door.list_events() == before


def test_no_route_changes_anything_for_a_reader(door: ServedDoor, client: httpx2.Client) -> None:
    before, wrong = door.list_events(), list[tuple[object, ...]]()
    for path in list_paths(door):
        for method in METHODS:
            body: dict[str, Any] = {"json": JSON_ACTION} if path.startswith("/api/") else {"data": FORM_ACTION}
            overridden = {"Authorization": f"Bearer {READER}", "X-HTTP-Method-Override": "POST"}
            answer = client.request(method, path, headers=overridden, **(body if method not in SAFE_METHODS else {}))
            refused = answer.status_code in {400, 401, 403, 404, 405}
            if method not in SAFE_METHODS and not refused and path not in {"/login", "/logout"}:
                wrong.append((method, path, answer.status_code))
    assert wrong == []
    assert door.list_events() == before


def test_no_page_of_another_site_performs_an_action(door: ServedDoor, client: httpx2.Client) -> None:
    """Every POST route with a session and its CSRF token, from foreign pages; and without the token from no page."""
    with httpx2.Client(base_url=door.url, timeout=TIMEOUT, trust_env=False) as browser:
        assert browser.post("/login", data={"token": OPERATOR}).status_code == 303
        csrf = re.search(r"X-CSRF-Token\W+([0-9a-f]{64})", browser.get("/").text)
        assert csrf
        before, statuses = door.list_events(), {}
        targets = [path for path in list_paths(door) if not path.startswith("/webhooks/")]
        for number, path in enumerate(targets):
            for headers in (FOREIGN_PAGES[number % len(FOREIGN_PAGES)], {}):
                right = headers | ({"X-CSRF-Token": csrf[1]} if headers else {})
                answer = browser.post(path, headers=right, data=FORM_ACTION)
                statuses[path, tuple(headers)] = answer.status_code
        without_session = {path for path, headers in statuses if not headers and is_public(path)}
        refused = {status for (path, headers), status in statuses.items() if headers or path not in without_session}
        assert refused == {403}
        assert {statuses[path, ()] for path in without_session} == {401, 405}, "a wrong token, and no such method"
        assert door.list_events() == before
        for headers in FOREIGN_PAGES:
            login = client.post("/login", data={"token": OPERATOR}, headers=headers)
            assert (login.status_code, login.headers.get("set-cookie")) == (403, None), (
                "a login into a foreign session"
            )
        assert browser.get("/status").status_code == 200, "no foreign page has logged it out"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example", "/\\evil.example", "https://evil.example", "/%09/evil.example", "\t//evil.example",
        "/\t/evil.example", "///evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: a=b", "/ü",
        "http:evil.example", "\\\\evil.example", "/.//evil.example", "/@evil.example", "/a?to=//evil.example", "",
    ],
)  # fmt: skip
def test_no_redirect_leads_to_another_host(door: ServedDoor, client: httpx2.Client, target: str) -> None:
    bearer = {"Authorization": f"Bearer {OPERATOR}"}
    form = {"verb": "release", "account": "acme", "back": target, "expect": "1"}
    answers = [
        client.post("/login", params={"to": target}, data={"token": OPERATOR}),
        client.get("/login", params={"to": target}, headers=bearer),
        client.post("/act", data=form, headers=bearer),
        client.get(
            "/", headers={"Accept": "text/html", "HX-Request": "1", "HX-Current-URL": quote(target, safe=PRINTABLE)}
        ),
    ]
    for answer in answers:
        for place in filter(None, (answer.headers.get("location"), answer.headers.get("hx-redirect"))):
            assert urlsplit(place).netloc == ""
            assert re.fullmatch(r"/(?![/\\])[!-~]*", place)
        assert "set-cookie" not in answer.headers or "a=b" not in answer.headers["set-cookie"]


RAW_PATHS = (
    b"//status", b"/%2e/status", b"/./status", b"/static/../status", b"/static/%2e%2e/status", b"/static/..%2fstatus",
    b"/static/..%5c..%5cstatus", b"/healthz/../status", b"/healthz%2f..%2fstatus", b"/login/..;/status", b"/STATUS",
    b"/status;x", b"/status%00", b"/static//etc/passwd", b"/static/%2fetc%2fpasswd", b"/static/..../etc/passwd",
    b"/static/..%c0%af..%c0%afetc/passwd", b"/webhooks/../status", b"/webhooks/%2e%2e/status", b"/login?/../status",
    b"http://127.0.0.1/status", b"http://127.0.0.1/healthz/../status", b"/static/\\..\\..\\app.py", b"*", b"status",
    b"/static/../../auth/login.py", b"/static/%2e%2e%2f%2e%2e%2fapp.py", b"/static/.", b"/static/", b"/%73tatus",
)  # fmt: skip
RAW_REQUESTS = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 40\r\n\r\n"
    b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n Bearer y\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /status HTTP/0.9\r\n\r\n",
    b"GET /status\r\n\r\n",
    b"get /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)  # the eighth and ninth are older versions of HTTP, the last one is the beginning of TLS


def test_no_path_trick_leads_around_the_token(door: ServedDoor) -> None:
    requests = [b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" for path in RAW_PATHS]
    for request in (*requests, *RAW_REQUESTS):
        answer = exchange(door, request)
        assert b"acme" not in answer, request
        assert b"root:" not in answer, request
        assert b"import annotations" not in answer, request
        assert b" 500 " not in answer.partition(b"\r\n")[0], request


def exchange(door: ServedDoor, request: bytes) -> bytes:
    """Send bytes and return everything that is answered."""
    url = urlsplit(door.url)
    with socket.create_connection((url.hostname, url.port), timeout=TIMEOUT) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


@pytest.fixture
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDoor]:
    """A door at which no time passes."""
    door = ServedDoor(tmp_path_factory.mktemp("still"), passing=0.0)
    yield door
    door.close()


def test_changing_forwarded_addresses_do_not_evade_the_login_throttle(still: ServedDoor) -> None:
    """uvicorn takes X-Forwarded-For from loopback, where anybody on this machine can write it."""
    with httpx2.Client(base_url=still.url, timeout=TIMEOUT, trust_env=False) as client:
        statuses = []
        for number in range(120):
            headers = {"X-Forwarded-For": f"203.0.113.{number}, 10.0.{number}.1"}
            if number % 2:
                statuses.append(client.post("/login", data={"token": f"guess-{number}"}, headers=headers).status_code)
            else:
                bearer = headers | {"Authorization": f"Bearer guess-{number}"}
                statuses.append(client.get("/status", headers=bearer).status_code)
        assert statuses[:100] == [401] * 100
        assert set(statuses[100:]) == {429}
        right = {"Authorization": f"Bearer {OPERATOR}", "X-Forwarded-For": "203.0.113.7"}
        assert client.get("/status", headers=right).status_code == 200, "a made token is never kept out"


def test_300_event_streams_that_never_read_do_not_stop_the_service(still: ServedDoor) -> None:
    url = urlsplit(still.url)
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {READER}\r\n"
    request = f"{head}Accept: text/event-stream\r\n\r\n".encode()
    bearer = {"Authorization": f"Bearer {OPERATOR}"}
    with ExitStack() as opened, httpx2.Client(base_url=still.url, timeout=TIMEOUT, trust_env=False) as client:
        connections = []
        for _ in range(300):
            connection = opened.enter_context(socket.create_connection((url.hostname, url.port), timeout=TIMEOUT))
            connection.sendall(request)
            connections.append(connection)
        statuses = [connection.recv(12)[9:] for connection in connections]
        assert (statuses.count(b"200"), statuses.count(b"503")) == (200, 100)
        for number in range(30):  # events that nobody reads
            verb = ("hold", "release")[number % 2]
            reason = {"reason": "x" * 900} if verb == "hold" else {}
            answer = client.post(f"/api/v1/actions/{verb}", json={"accounts": ["acme"], **reason}, headers=bearer)
            assert answer.status_code in {200, 409}
            assert client.get("/healthz").status_code == 200
        assert client.get("/status", headers=bearer).status_code == 200


def test_forged_webhooks_change_nothing(door: ServedDoor, client: httpx2.Client) -> None:
    before = door.list_events()
    for number in range(100):
        headers = {"webhook-id": f"wh-{number}", "webhook-timestamp": str(number), "webhook-signature": "v1,AAAA"}
        body = json.dumps({"type": "fine_tuning.job.succeeded", "data": {"id": "ftjob-acme"}})
        answer = client.post(f"/webhooks/openai/{('acme', 'nobody')[number % 2]}", content=body, headers=headers)
        assert answer.status_code == 400
    assert door.list_events() == before
    assert client.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def operations(door: ServedDoor) -> list[Any]:
    """The operations of every route, pages included."""
    return list_operations(door.app)


def test_random_requests_to_every_route_have_clean_answers(door: ServedDoor, operations: list[Any]) -> None:
    """`fuzz_web.py` does the same for half an hour. The API alone, with its schema: test_api_schemathesis.py."""
    paths = {(operation.method.upper(), operation.path) for operation in operations}
    assert paths == set(list_routes(door.app)), "no route is forgotten"
    pages = [operation for operation in operations if not operation.path.startswith("/api/")]
    for operation in pages:
        for token in ("", READER, OPERATOR):
            before = door.list_events()
            build_sender(operation, door, token)()
            if token != OPERATOR:
                assert door.list_events() == before


def build_sender(operation: Any, door: ServedDoor, token: str) -> Callable[[], None]:
    """Return a function that sends a few requests to one operation, the same ones every time."""
    from hypothesis import given

    @settings(
        max_examples=3,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = case.call(base_url=door.url, headers=headers, allow_redirects=False)
        assert find_faults(case, answer, token) == [], case.as_curl_command()

    return send
