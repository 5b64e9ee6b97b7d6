from __future__ import annotations

import pytest
from web_values import WebServiceDouble, ready

from orchestrator.web.auth.middleware import MAX_ANONYMOUS_BODY_BYTES

GOOD = {"webhook-signature": "good"}
PATH = "/webhooks/openai/acme"


def locked() -> WebServiceDouble:
    return WebServiceDouble(ready("acme"), token="operator-token-1")


async def test_a_webhook_needs_a_signature_and_no_token() -> None:
    service = locked()
    async with service.client("http://orchestrator.example") as client:
        assert (await client.post(PATH, content=b"{}", headers=GOOD)).status_code == 204
    assert service.received_webhooks == [("acme", b"{}")]


@pytest.mark.parametrize("account", ["acme", "nobody", "a%2Fb", "%00"])
async def test_refusal_does_not_reveal_whether_the_account_exists(account: str) -> None:
    async with locked().client() as client:
        refused = await client.post(PATH, content=b"{}")
        answer = await client.post(f"/webhooks/openai/{account}", content=b"{}")
    assert refused.status_code == 400
    assert "webhook_secret" in refused.json()["hint"]
    if account != "a%2Fb":  # is no path of ours
        assert (answer.status_code, answer.json()) == (400, refused.json())


async def test_a_large_body_is_not_read() -> None:
    service = locked()
    async with service.client() as client:
        answer = await client.post(PATH, content=b"x" * (MAX_ANONYMOUS_BODY_BYTES + 1), headers=GOOD)
        assert (await client.post(PATH, content=b"x" * MAX_ANONYMOUS_BODY_BYTES, headers=GOOD)).status_code == 204
    assert answer.status_code == 413
    assert len(service.received_webhooks) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_webhook_path_allows_post_only(method: str) -> None:
    async with locked().client() as client:
        assert (await client.request(method, PATH)).status_code == 405
        assert (await client.get("/webhooks/together/acme")).status_code == 404


async def test_webhook_host_is_checked_without_a_token() -> None:
    service = WebServiceDouble(ready("acme"))
    async with service.client("http://orchestrator.example") as client:
        assert (await client.post(PATH, content=b"{}", headers=GOOD)).status_code == 421
    assert service.received_webhooks == []
