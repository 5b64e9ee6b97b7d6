"""What fails on the way to a provider is called what it is."""

from __future__ import annotations

import ssl
from typing import Any, cast

import aiohttp
import pytest

from orchestrator.providers.http.transport_errors import httpx_error_from_aiohttp


def tls_failure(reason: str) -> aiohttp.ClientConnectorSSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] failed")
    error.reason = reason
    key = type("Key", (), {"host": "api.example", "port": 443, "is_ssl": True, "ssl": True})
    return aiohttp.ClientConnectorSSLError(cast(Any, key), error)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "the server supports only HTTP/2"),
        (
            "WRONG_VERSION_NUMBER",
            "TLS with api.example:443 failed: WRONG_VERSION_NUMBER; the server does not use TLS",
        ),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "TLS with api.example:443 failed: TLSV1_ALERT_PROTOCOL_VERSION"),
    ],
)
def test_a_handshake_that_fails_says_why(reason: str, said: str) -> None:
    assert str(httpx_error_from_aiohttp(tls_failure(reason))).startswith(said)
