from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from web_values import NOW, WebServiceDouble, ready, token

from orchestrator.core.access_token import Role
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.status import MetricsSnapshot, get_metrics_snapshot
from orchestrator.web.auth.authenticator import SESSION_LIFETIME_SECONDS, TOKEN_USE_INTERVAL_SECONDS

TOKEN = "operator-token-1"
READ = "reader-token-2"
HTML = {"Accept": "text/html,application/xhtml+xml"}
PRIVATE = ["/", "/status", "/metrics", "/nowhere", "/docs", "/openapi.json"]


def locked() -> WebServiceDouble:
    return WebServiceDouble(ready("acme"), token=TOKEN, read_token=READ)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def mark(client: httpx2.AsyncClient) -> str:
    """What the page's forms carry."""
    return str(re.findall(r'name="csrf" value="([0-9a-f]{64})"', (await client.get("/", headers=HTML)).text)[0])


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/style.css"])
async def test_open_paths_need_no_token(path: str) -> None:
    async with locked().client("http://orchestrator.example") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        bearer(TOKEN + "x"),
        bearer(TOKEN[:-1]),
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": "orchestrator_session="},
        {"Cookie": "orchestrator_session=99999999999.00"},
        {"Cookie": f"orchestrator_session={TOKEN}"},
        {"Cookie": "orchestrator_session=٣.aa".encode().decode("latin-1")},
    ],
)
async def test_unauthenticated_client_sees_nothing(headers: dict[str, str]) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    async with locked().client() as client:
        for path in PRIVATE:
            answer = await client.get(path, headers=sent)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "ORCHESTRATOR_TOKEN" in answer.json()["hint"]
            assert "acme" not in answer.text
            assert TOKEN not in answer.text


@pytest.mark.parametrize("path", ["/", "/status"])
@pytest.mark.parametrize("headers", [bearer(TOKEN), bearer(READ), {"Authorization": f"bearer  {TOKEN}"}])
async def test_valid_token_authenticates(path: str, headers: dict[str, str]) -> None:
    async with locked().client("http://orchestrator.example") as client:
        answer = await client.get(path, headers=headers)
    assert answer.status_code == 200
    assert "acme" in answer.text


async def test_read_token_alone_requires_authentication() -> None:
    async with WebServiceDouble(ready("acme"), read_token=READ).client() as client:
        assert (await client.get("/status")).status_code == 401
        assert (await client.get("/status", headers=bearer(READ))).status_code == 200


async def test_login_page_returns_to_the_requested_filters() -> None:
    async with locked().client() as client:
        sent = await client.get("/?state=failed&q=a%26b", headers=HTML)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?to=%2F%3Fstate%3Dfailed%26q%3Da%2526b")
        form = await client.get(sent.headers["location"])
        assert 'action="/login?to=%2F%3Fstate%3Dfailed%26q%3Da%2526b"' in form.text
        entered = await client.post(sent.headers["location"], data={"token": TOKEN})
        assert (entered.status_code, entered.headers["location"]) == (303, "/?state=failed&q=a%26b")
        assert (await client.get(entered.headers["location"], headers=HTML)).status_code == 200


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/dataset?x=1", "/dataset?x=1"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/a\r\nX: y", "/"),
        ("evil", "/"),
    ],
)
async def test_login_redirect_stays_on_the_same_site(path: str, target: str) -> None:
    async with locked().client() as client:
        entered = await client.post("/login", params={"to": path}, data={"token": TOKEN})
    assert entered.headers["location"] == target


async def test_a_poll_of_an_ended_session_leads_to_the_login_page_and_back_to_the_page() -> None:
    polled = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/?state=failed"}
    async with locked().client() as client:
        answer = await client.get("/?state=failed&part=rows", headers=HTML | polled)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?to=%2F%3Fstate%3Dfailed")


async def test_a_session_cookie_is_kept_from_scripts_and_other_sites() -> None:
    async with locked().client() as client:
        entered = await client.post("/login", data={"token": TOKEN})
        cookie = entered.headers["set-cookie"].lower()
    assert all(
        word in cookie for word in ("httponly", "samesite=strict", "path=/", f"max-age={SESSION_LIFETIME_SECONDS}")
    )
    assert "secure" not in cookie
    assert TOKEN not in cookie


async def test_session_cookie_over_tls_is_secure() -> None:
    async with locked().client("https://orchestrator.example") as client:
        entered = await client.post("/login", data={"token": TOKEN})
    assert "secure" in entered.headers["set-cookie"].lower()


async def test_a_session_ends_with_its_time() -> None:
    service = locked()
    async with service.client() as client:
        await client.post("/login", data={"token": TOKEN})
        cookie = {"Cookie": f"orchestrator_session={client.cookies['orchestrator_session']}"}
    async with service.client(**cookie) as client:
        service.now += SESSION_LIFETIME_SECONDS - 1
        assert (await client.get("/status")).status_code == 200
        service.now += 1
        assert (await client.get("/status")).status_code == 401


async def test_a_session_survives_a_restart_and_ends_with_its_token() -> None:
    async with locked().client() as client:
        await client.post("/login", data={"token": TOKEN})
        cookie = {"Cookie": f"orchestrator_session={client.cookies['orchestrator_session']}"}
    async with locked().client(**cookie) as client:
        assert (await client.get("/status")).status_code == 200
    async with WebServiceDouble(ready("acme"), token="another", read_token=READ).client(**cookie) as client:
        assert (await client.get("/status")).status_code == 401


async def test_session_cannot_be_extended_or_escalated() -> None:
    service = locked()
    async with service.client() as client:
        await client.post("/login", data={"token": READ})
        until, _, signature = client.cookies["orchestrator_session"].partition(".")
    forged = {"Cookie": f"orchestrator_session={int(until) + 1}.{signature}"}
    async with service.client(**forged) as client:
        assert (await client.get("/status")).status_code == 401


async def test_wrong_bearer_token_fails_despite_a_session() -> None:
    async with locked().client() as client:
        await client.post("/login", data={"token": TOKEN})
        assert (await client.get("/status", headers=bearer("wrong"))).status_code == 401


@pytest.mark.parametrize(("token", "role"), [(TOKEN, "operator"), (READ, "reader")])
async def test_page_shows_the_user_until_logout(token: str, role: str) -> None:
    async with locked().client() as client:
        await client.post("/login", data={"token": f" {token} "})
        assert f">environment, {role}<" in (await client.get("/", headers=HTML)).text
        assert (await client.get("/login")).headers["location"] == "/"
        assert (await client.post("/logout")).status_code == 403, "without the session's mark"
        left = await client.post("/logout", data={"csrf": await mark(client)})
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert (await client.get("/status")).status_code == 401


@pytest.mark.parametrize("data", [{"token": "wrong"}, {"token": ""}, {}, {"token": '"><script>'}])
async def test_wrong_token_is_reported_without_being_shown(data: dict[str, str]) -> None:
    async with locked().client() as client:
        answer = await client.post("/login", data=data)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "Invalid token." in answer.text
    assert "<script>" not in answer.text


async def test_a_large_form_is_refused() -> None:
    async with locked().client() as client:
        assert (await client.post("/login", data={"token": "x" * 2_000_000})).status_code == 413


LOOPBACK = ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:8080", "[::1]", "[::1]:8080", "127.1.2.3:1"]
ELSEWHERE = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "192.168.1.5:8080",
    "[::ffff:c0a8:1]:8080",
    "127.0.0.1@evil.example",
    "",
    "[",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_loopback_needs_no_token(host: str) -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        assert (await client.get("/status", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_rebound_host_name_is_refused_without_a_token(host: str) -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        for path in ("/", "/status", "/login", "/healthz", "/static/style.css"):
            answer = await client.get(path, headers={"Host": host})
            assert answer.status_code == 421, path
            assert "ORCHESTRATOR_TOKEN" in answer.json()["hint"]
            assert "acme" not in answer.text


async def test_login_is_disabled_without_a_token() -> None:
    async with WebServiceDouble(ready("acme")).client() as client:
        assert (await client.get("/login")).headers["location"] == "/"
        assert "Log out" not in (await client.get("/")).text


CREATED_TOKEN = "orch_" + "m" * 43


def service_with_token(**values: Any) -> WebServiceDouble:
    """A service with a token in its database and none in its settings."""
    service = WebServiceDouble(ready("acme"))
    service.tokens = [token("ci", CREATED_TOKEN, Role.OPERATOR, **values)]
    return service


async def test_created_token_authenticates_until_revocation() -> None:
    service = service_with_token()
    async with service.client("http://orchestrator.example") as client:
        assert (await client.get("/status")).status_code == 401
        assert (await client.get("/status", headers=bearer(CREATED_TOKEN))).status_code == 200
        service.tokens = [token("ci", CREATED_TOKEN, revoked_at=NOW)]
        assert (await client.get("/status", headers=bearer(CREATED_TOKEN))).status_code == 401


async def test_revoking_the_last_token_keeps_authentication() -> None:
    async with service_with_token(revoked_at=NOW).client() as client:
        assert (await client.get("/status")).status_code == 401


async def test_a_session_ends_when_its_token_is_revoked() -> None:
    service = service_with_token()
    async with service.client() as client:
        assert (await client.post("/login", data={"token": CREATED_TOKEN})).status_code == 303
        assert (await client.get("/status")).status_code == 200
        service.tokens = [token("ci", CREATED_TOKEN, revoked_at=NOW), token("new", "another")]
        assert (await client.get("/status")).status_code == 401


async def test_session_does_not_gain_the_role_of_a_namesake_token() -> None:
    service = service_with_token()
    service.tokens = [token("ci", CREATED_TOKEN, Role.READER)]
    async with service.client() as client:
        await client.post("/login", data={"token": CREATED_TOKEN})
        service.tokens = [token("ci", CREATED_TOKEN, Role.OPERATOR)]
        assert (await client.get("/status")).status_code == 401


@pytest.mark.parametrize(
    ("before", "noted"),
    [(None, ["ci"]), (NOW - TOKEN_USE_INTERVAL_SECONDS - 1, ["ci"]), (NOW - TOKEN_USE_INTERVAL_SECONDS + 1, [])],
)
async def test_token_use_is_recorded_coarsely(before: float | None, noted: list[str]) -> None:
    service = service_with_token(last_used_at=before)
    async with service.client() as client:
        await client.get("/status", headers=bearer(CREATED_TOKEN))
        await client.get("/status", headers=bearer("wrong"))
    assert service.used_tokens == noted


async def test_database_outage_refuses_tokens_with_503() -> None:
    service = service_with_token()
    service.tokens = DatabaseUnavailable("the database does not answer")
    async with service.client() as client:
        answer = await client.get("/status", headers=bearer(CREATED_TOKEN))
        assert (await client.get("/healthz")).status_code == 200
    assert (answer.status_code, answer.json()["kind"]) == (503, "database_away")
    assert answer.json()["hint"]
    assert answer.headers["x-frame-options"] == "DENY"


async def test_metrics_require_a_reader() -> None:
    service = WebServiceDouble(token="operator", read_token="reader")
    service.answers[get_metrics_snapshot] = MetricsSnapshot(due=7)
    async with service.client() as client:
        answers = [
            await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
            for token in ("operator", "reader", "stranger")
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 401]
    assert answers[1].headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "due=7" in answers[1].text
