"""Keys that are credential documents of Google: tokens are obtained, replaced in time, and shown to nobody."""

from __future__ import annotations

import asyncio
import datetime
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fake_server import serve_on_free_port
from token_bench import TokenBench

from orchestrator.core.errors import (
    AuthenticationFailed,
    ConfigError,
    ProviderError,
    ProviderUnavailable,
    TrainingNotAllowed,
)
from orchestrator.core.remote import RemoteJobStatus
from orchestrator.providers.base import Deadline


@pytest.fixture
def bench(tmp_path: Path) -> TokenBench:
    return TokenBench(tmp_path)


async def test_job_is_trained_with_the_key_of_a_service_account(bench: TokenBench) -> None:
    provider = bench.connected(bench.tokens.create_key())
    assert (await provider.verify()).project == "proj-acme"
    job = await bench.job(provider)
    bench.now += 100
    assert (await provider.get_job(job.id)).status is RemoteJobStatus.SUCCEEDED
    assert (bench.jobs(), bench.tokens.issued, bench.tokens.refused) == (1, 1, 0)


async def test_no_token_is_obtained_before_it_is_needed(bench: TokenBench) -> None:
    provider = bench.connected(bench.tokens.create_key())
    assert provider.capabilities.servable
    assert bench.tokens.seen == []


async def test_accounts_with_one_document_share_its_token(bench: TokenBench) -> None:
    document = bench.tokens.create_key()
    accounts = [bench.connected(document) for _ in range(5)]
    await asyncio.gather(*(account.verify() for account in accounts))
    assert bench.tokens.issued == 1


async def test_token_is_replaced_before_it_expires(bench: TokenBench, monkeypatch: pytest.MonkeyPatch) -> None:
    helpers = import_module("google.auth._helpers")
    provider = bench.connected(bench.tokens.create_key())
    await provider.verify()
    later = helpers.utcnow() + datetime.timedelta(seconds=bench.tokens.seconds - 120)
    monkeypatch.setattr(helpers, "utcnow", lambda: later)
    await provider.verify()
    await provider.verify()
    assert (bench.tokens.issued, bench.tokens.refused) == (2, 0)


@pytest.mark.parametrize("refusal", [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")])
async def test_token_that_is_refused_is_replaced_once(bench: TokenBench, refusal: tuple[int, str]) -> None:
    bench.tokens.refusal = refusal
    provider = bench.connected(bench.tokens.create_key())
    job = await bench.job(provider)
    bench.tokens.live.clear()
    calls = (provider.get_job(job.id) for _ in range(5))
    assert {found.id for found in await asyncio.gather(*calls)} == {job.id}
    assert bench.tokens.issued == 2


async def test_create_whose_token_was_refused_makes_one_job(bench: TokenBench) -> None:
    provider = bench.connected(bench.tokens.create_key())
    order = bench.order(await bench.ready_file(provider))
    bench.tokens.live.clear()
    await provider.create_job(order, bench.deadline())
    assert (bench.jobs(), bench.tokens.issued, bench.tokens.refused) == (1, 2, 1)


async def test_create_is_not_sent_after_its_deadline(bench: TokenBench) -> None:
    provider = bench.connected(bench.tokens.create_key())
    order = bench.order(await bench.ready_file(provider))
    bench.tokens.live.clear()
    seconds_left = iter([50.0, 50.0, 50.0, 0.5, 0.5, 0.5])
    deadline = Deadline(0.0, boottime=lambda: -next(seconds_left, 0.5))
    with pytest.raises(ProviderError):
        await provider.create_job(order, deadline)
    assert bench.jobs() == 0


async def test_missing_permission_costs_no_token_with_every_call(bench: TokenBench) -> None:
    provider = bench.connected(bench.tokens.create_key(), project="proj-of-somebody-else")
    for _ in range(4):
        with pytest.raises(TrainingNotAllowed):
            await provider.verify()
    assert bench.tokens.issued == 1


async def test_signature_with_another_key_is_refused(bench: TokenBench) -> None:
    document = bench.tokens.create_key()
    bench.tokens.create_key()  # the account has another key now
    with pytest.raises(AuthenticationFailed) as refused:
        await bench.connected(document).verify()
    assert "invalid_grant: Invalid JWT Signature. You sent [key " in refused.value.message


async def test_endpoint_that_fails_is_tried_again_later(bench: TokenBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
    bench.tokens.broken = 3  # as often as google-auth tries
    provider = bench.connected(bench.tokens.create_key())
    with pytest.raises(ProviderUnavailable, match="try later"):
        await provider.verify()
    await provider.verify()


async def test_credentials_of_a_user_are_refreshed(bench: TokenBench) -> None:
    bench.tokens.refresh_tokens.add("1//refresh-token-of-anna")
    document = {
        "type": "authorized_user",
        "client_id": "gcloud",
        "client_secret": "secret-of-gcloud",
        "refresh_token": "1//refresh-token-of-anna",
        "token_uri": "http://localhost/token",
    }
    await bench.connected(document).verify()
    bench.tokens.refresh_tokens.clear()
    with pytest.raises(AuthenticationFailed) as refused:
        await bench.connected(document | {"client_id": "other"}).verify()
    assert "anna" not in refused.value.message


async def test_token_of_another_cloud_is_exchanged(bench: TokenBench, tmp_path: Path) -> None:
    (tmp_path / "subject").write_text("token-of-kubernetes")
    bench.tokens.subject_tokens.add("token-of-kubernetes")
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "http://localhost/sts",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    await bench.connected(document).verify()
    assert bench.tokens.seen[0] == "/sts"


async def test_metadata_server_is_asked_without_a_key(bench: TokenBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request goes to it directly, and not by the account's client, which may have a proxy."""
    metadata = import_module("google.auth.compute_engine._metadata")
    async with serve_on_free_port(bench.tokens) as url:
        monkeypatch.setattr(metadata, "_GCE_METADATA_HOST", url.removeprefix("http://"))
        await bench.connected({"type": "metadata_server"}).verify()
    assert bench.tokens.issued == 1


async def test_missing_metadata_server_names_the_other_places(
    bench: TokenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = import_module("google.auth.compute_engine._metadata")
    monkeypatch.setattr(metadata, "_GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
    with pytest.raises(ProviderUnavailable) as missing:
        await bench.connected({"type": "metadata_server"}).verify()
    assert "GOOGLE_APPLICATION_CREDENTIALS" in missing.value.hint


@pytest.mark.parametrize(
    ("base_url", "token_uri", "reason"),
    [
        ("http://localhost", "http://tokens.example/token", "is not encrypted: the key could be read"),
        ("https://europe-west4-aiplatform.googleapis.com", "http://localhost/token", "is in a private network"),
        (
            "https://europe-west4-aiplatform.googleapis.com",
            "https://169.254.169.254/token",
            "is a metadata service",
        ),
        ("http://localhost", "file:///etc/passwd", "is not https"),
    ],
)
async def test_token_endpoint_at_a_forbidden_address_is_not_called(
    bench: TokenBench, base_url: str, token_uri: str, reason: str
) -> None:
    provider = bench.connected(bench.tokens.create_key(token_uri=token_uri), base_url=base_url)
    with pytest.raises(AuthenticationFailed, match=reason):
        await provider.verify()
    assert bench.tokens.seen == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"private_key": "-----BEGIN PRIVATE KEY-----\ncanary-0042\n-----END PRIVATE KEY-----\n"}, "not valid"),
        ({"client_email": None}, "not valid"),
        ({"private_key": 42}, "not valid"),
        ({"type": "impersonated\nsomething"}, "is not supported"),
        ({"type": None}, "of no type"),
    ],
)
async def test_broken_document_is_an_error_of_the_account(
    bench: TokenBench, changes: dict[str, Any], expected: str
) -> None:
    document = {name: value for name, value in (bench.tokens.create_key() | changes).items() if value is not None}
    with pytest.raises(AuthenticationFailed, match=expected) as refused:
        await bench.connected(document).verify()
    assert refused.value.account == "acme"
    assert "canary" not in f"{refused.value.message} {refused.value.hint}"
    assert "service account" in refused.value.hint
    assert bench.tokens.seen == []


@pytest.mark.parametrize("missing_package", ["google.auth", "google"])
async def test_missing_package_is_named_with_its_extra(
    bench: TokenBench, monkeypatch: pytest.MonkeyPatch, missing_package: str
) -> None:
    monkeypatch.delitem(sys.modules, "google.auth", raising=False)
    monkeypatch.setitem(sys.modules, missing_package, None)
    with pytest.raises(ConfigError) as missing:
        bench.connected(bench.tokens.create_key())
    assert "google-auth" in missing.value.message
    assert "pip install 'orchestrator[vertex]'" in missing.value.hint
    bench.tokens.live.add("ya29.of-a-command")
    assert await bench.provider(key="ya29.of-a-command").verify(), "an access token needs no package"


async def test_expired_tokens_are_redacted_for_a_while(bench: TokenBench) -> None:
    provider = bench.connected(bench.tokens.create_key())
    await provider.verify()
    for _ in range(70):
        bench.tokens.live.clear()
        await provider.verify()
    assert bench.redact("ya29.000001-token") == "ya29.000001-token", "their number does not grow for ever"
    assert "000060" not in bench.redact("ya29.000060-token")
