from __future__ import annotations

import pytest
from web_values import Service, ready

from orchestrator.web.door import SESSION_SECONDS

TOKEN = "operator-token-1"
READ = "reader-token-2"
HTML = {"Accept": "text/html,application/xhtml+xml"}
PRIVATE = ["/", "/status", "/nowhere", "/docs", "/openapi.json"]


def locked() -> Service:
    return Service(ready("acme"), token=TOKEN, read_token=READ)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/style.css"])
async def test_what_needs_no_token(path: str) -> None:
    async with locked().client("http://orchestrator.example") as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", PRIVATE)
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
async def test_a_stranger_sees_nothing(path: str, headers: dict[str, str]) -> None:
    async with locked().client() as client:
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await client.get(path, headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "ORCHESTRATOR_TOKEN" in answer.json()["hint"]
    assert "acme" not in answer.text
    assert TOKEN not in answer.text


@pytest.mark.parametrize("path", ["/", "/status"])
@pytest.mark.parametrize("headers", [bearer(TOKEN), bearer(READ), {"Authorization": f"bearer  {TOKEN}"}])
async def test_a_token_opens(path: str, headers: dict[str, str]) -> None:
    async with locked().client("http://orchestrator.example") as client:
        answer = await client.get(path, headers=headers)
    assert answer.status_code == 200
    assert "acme" in answer.text


async def test_a_read_token_alone_locks_too() -> None:
    async with Service(ready("acme"), read_token=READ).client() as client:
        assert (await client.get("/status")).status_code == 401
        assert (await client.get("/status", headers=bearer(READ))).status_code == 200


async def test_a_browser_is_shown_the_login_page_and_comes_back_to_its_filters() -> None:
    async with locked().client() as client:
        sent = await client.get("/?state=failed&q=a%26b", headers=HTML)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?state=failed&q=a%26b")
        form = await client.get(sent.headers["location"])
        assert 'action="/login?state=failed&amp;q=a%26b"' in form.text
        entered = await client.post(sent.headers["location"], data={"token": TOKEN})
        assert (entered.status_code, entered.headers["location"]) == (303, "/?state=failed&q=a%26b")
        assert (await client.get(entered.headers["location"], headers=HTML)).status_code == 200


async def test_the_login_page_leads_nowhere_else() -> None:
    async with locked().client() as client:
        entered = await client.post("/login?next=//evil.example/", data={"token": TOKEN})
    assert entered.headers["location"] == "/?next=//evil.example/"


async def test_a_poll_of_an_ended_session_leads_to_the_login_page() -> None:
    async with locked().client() as client:
        answer = await client.get("/?state=failed", headers=HTML | {"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?state=failed")


async def test_a_session_cookie_is_kept_from_scripts_and_other_sites() -> None:
    async with locked().client() as client:
        entered = await client.post("/login", data={"token": TOKEN})
        cookie = entered.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/", f"max-age={SESSION_SECONDS}"))
    assert "secure" not in cookie
    assert TOKEN not in cookie


async def test_a_session_cookie_got_over_tls_is_never_sent_without() -> None:
    async with locked().client("https://orchestrator.example") as client:
        entered = await client.post("/login", data={"token": TOKEN})
    assert "secure" in entered.headers["set-cookie"].lower()


async def test_a_session_ends_with_its_time() -> None:
    service = locked()
    async with service.client() as client:
        await client.post("/login", data={"token": TOKEN})
        cookie = {"Cookie": f"orchestrator_session={client.cookies['orchestrator_session']}"}
    async with service.client(**cookie) as client:
        service.now += SESSION_SECONDS - 1
        assert (await client.get("/status")).status_code == 200
        service.now += 1
        assert (await client.get("/status")).status_code == 401


async def test_a_session_survives_a_restart_and_ends_with_its_token() -> None:
    async with locked().client() as client:
        await client.post("/login", data={"token": TOKEN})
        cookie = {"Cookie": f"orchestrator_session={client.cookies['orchestrator_session']}"}
    async with locked().client(**cookie) as client:
        assert (await client.get("/status")).status_code == 200
    async with Service(ready("acme"), token="another", read_token=READ).client(**cookie) as client:
        assert (await client.get("/status")).status_code == 401


async def test_a_session_cannot_be_prolonged_or_raised_by_its_holder() -> None:
    service = locked()
    async with service.client() as client:
        await client.post("/login", data={"token": READ})
        until, _, signature = client.cookies["orchestrator_session"].partition(".")
    forged = {"Cookie": f"orchestrator_session={int(until) + 1}.{signature}"}
    async with service.client(**forged) as client:
        assert (await client.get("/status")).status_code == 401


async def test_a_wrong_bearer_token_is_not_helped_by_a_session() -> None:
    async with locked().client() as client:
        await client.post("/login", data={"token": TOKEN})
        assert (await client.get("/status", headers=bearer("wrong"))).status_code == 401


@pytest.mark.parametrize(("token", "role"), [(TOKEN, "operator"), (READ, "reader")])
async def test_logged_in_as_who_until_logged_out(token: str, role: str) -> None:
    async with locked().client() as client:
        await client.post("/login", data={"token": f" {token} "})
        assert f">{role}<" in (await client.get("/", headers=HTML)).text
        assert (await client.get("/login")).headers["location"] == "/"
        left = await client.post("/logout")
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert (await client.get("/status")).status_code == 401


@pytest.mark.parametrize("data", [{"token": "wrong"}, {"token": ""}, {}, {"token": '"><script>'}])
async def test_a_wrong_token_is_told_and_not_repeated(data: dict[str, str]) -> None:
    async with locked().client() as client:
        answer = await client.post("/login", data=data)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "not the service’s token" in answer.text
    assert "<script>" not in answer.text


async def test_a_large_form_is_refused() -> None:
    async with locked().client() as client:
        assert (await client.post("/login", data={"token": "x" * 5000})).status_code == 413


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
async def test_without_a_token_this_machine_is_served(host: str) -> None:
    async with Service(ready("acme")).client() as client:
        assert (await client.get("/status", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("path", ["/", "/status", "/login", "/healthz", "/static/style.css"])
@pytest.mark.parametrize("host", ELSEWHERE)
async def test_without_a_token_a_rebound_name_is_not_served(host: str, path: str) -> None:
    async with Service(ready("acme")).client() as client:
        answer = await client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "ORCHESTRATOR_TOKEN" in answer.json()["hint"]
    assert "acme" not in answer.text


async def test_without_a_token_there_is_nothing_to_log_in_to() -> None:
    async with Service(ready("acme")).client() as client:
        assert (await client.get("/login")).headers["location"] == "/"
        assert "Log out" not in (await client.get("/")).text
