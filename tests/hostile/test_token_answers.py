"""Token endpoints that answer nonsense or slowly: retried, never blamed on the key, and no other call waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fake_server import serve_on_free_port
from starlette.requests import Request
from starlette.responses import Response
from token_bench import TokenBench

from orchestrator.core.errors import ProviderUnavailable
from orchestrator.providers.http.client import create_http_client

TOKEN = b'"access_token": "ya29.canary-0042"'
UNREADABLE = {
    "a page": b"<html>Maintenance</html>",
    "nothing": b"",
    "a list": b"[]",
    "a text": b'"ya29"',
    "another encoding": b"\xff\xfe{}",
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "no token": b'{"expires_in": 3600}',
    "null as a token": b'{"access_token": null, "expires_in": 3600}',
    "a number as a token": b'{"access_token": 7, "expires_in": 3600}',
    "a list as a token": b'{"access_token": ["ya29.canary-0042"], "expires_in": 3600}',
    "an empty token": b'{"access_token": "", "expires_in": 3600}',
    "a token that is a word": b'{"access_token": "e", "expires_in": 3600}',
    "a token of 1 MB": b'{"access_token": "' + b"x" * 1_000_000 + b'", "expires_in": 3600}',
    "a token with a line break": b'{"access_token": "ya29.canary-0042\\r\\nx: y", "expires_in": 3600}',
    "a token with a surrogate": b'{"access_token": "ya29.canary-0042\\ud800", "expires_in": 3600}',
    "a life of 1e300 seconds": b'{%b, "expires_in": 1e300}' % TOKEN,
    "an endless life": b'{%b, "expires_in": Infinity}' % TOKEN,
    "a life that is no number": b'{%b, "expires_in": "soon"}' % TOKEN,
    "a life of 5,000 digits": b'{%b, "expires_in": %b}' % (TOKEN, b"9" * 5_000),
}


@pytest.fixture
def bench(tmp_path: Path) -> TokenBench:
    return TokenBench(tmp_path)


def list_documents(bench: TokenBench, folder: Path) -> list[Mapping[str, Any]]:
    """Return one document of each type that names its token endpoint."""
    (folder / "subject").write_text("token-of-kubernetes")
    user = {"type": "authorized_user", "client_id": "gcloud", "client_secret": "secret", "refresh_token": "1//token"}
    machine = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "http://localhost/sts",
        "credential_source": {"file": str(folder / "subject")},
    }
    return [bench.tokens.create_key(), user | {"token_uri": "http://localhost/token"}, machine]


async def test_unreadable_token_is_an_outage_and_not_a_wrong_key(
    bench: TokenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = b""

    async def issue(request: Request) -> Response | None:
        is_token = request.url.path in ("/token", "/sts")
        return Response(answer, media_type="application/json") if is_token else None

    usual = bench.tokens._answer
    for document in list_documents(bench, tmp_path):
        provider = bench.connected(document)
        monkeypatch.setattr(bench.tokens, "_answer", issue)
        for name, answer in UNREADABLE.items():  # noqa: B007
            with pytest.raises(ProviderUnavailable, match="token endpoint's response") as caught:
                await provider.verify()
            assert "canary" not in caught.value.message, name
            assert caught.value.account == "acme"
        monkeypatch.setattr(bench.tokens, "_answer", usual)
        bench.tokens.refresh_tokens.add("1//token")
        bench.tokens.subject_tokens.add("token-of-kubernetes")
        assert (await provider.verify()).project == "proj-acme", "the next token is used"


async def test_refreshes_do_not_wait_for_each_other(bench: TokenBench) -> None:
    """A refresh waits in a thread for a request that looks up a host name, which also takes a thread."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))  # of a small machine: six
    async with serve_on_free_port(bench.tokens) as url, create_http_client(50) as http:
        bench.tokens.url = bench.base_url = url.replace("127.0.0.1", "localhost")  # type: ignore[misc]
        bench.connect = bench.connector()(http, bench.redact)
        key = bench.tokens.create_key()
        public = bench.tokens.keys[key["client_email"]]
        bench.tokens.keys |= {f"trainer-{n}@proj-acme.iam.gserviceaccount.com": public for n in range(8)}
        providers = [bench.connected(key | {"client_email": email}) for email in bench.tokens.keys]
        found = await asyncio.gather(*(provider.verify() for provider in providers))
    assert [identity.project for identity in found] == ["proj-acme"] * 9
