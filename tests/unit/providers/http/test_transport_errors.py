"""What fails on the way to a provider is called what it is."""

from __future__ import annotations

import ssl
from typing import Any, cast

import aiohttp
import httpx2
import pytest

from orchestrator.core.errors import (
    MAX_MESSAGE_LENGTH,
    CertificateNotTrusted,
    ProviderUnavailable,
    ProxyRefused,
)
from orchestrator.core.proxy import Proxy
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.transport_errors import (
    BadCertificate,
    ConnectionFailed,
    ResponseTooLarge,
    UnexpectedHttp2,
    httpx_error_from_aiohttp,
    provider_error_from_transport,
)


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


def connect(error: type[aiohttp.ClientConnectorError], cause: OSError) -> Any:
    key = type("Key", (), {"host": "api.example", "port": 443, "is_ssl": True, "ssl": True})
    return error(cast(Any, key), cause)


def refused_certificate(code: int, message: str = "the reason") -> aiohttp.ClientConnectorCertificateError:
    cause = ssl.SSLCertVerificationError(1, "text")
    cause.verify_code, cause.verify_message = code, message
    key = type("Key", (), {"host": "api.example", "port": 443, "is_ssl": True, "ssl": True})
    return aiohttp.ClientConnectorCertificateError(cast(Any, key), cause)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.SocketTimeoutError(), httpx2.ReadTimeout),
        (aiohttp.ServerTimeoutError(), httpx2.ConnectTimeout),
        (TimeoutError(), httpx2.PoolTimeout),
        (connect(aiohttp.ClientConnectorError, OSError(111, "refused")), httpx2.ConnectError),
        (aiohttp.InvalidURL("x"), httpx2.UnsupportedProtocol),
        (aiohttp.ClientOSError(104, "reset"), httpx2.ReadError),
        (aiohttp.ServerDisconnectedError(), httpx2.RemoteProtocolError),
        (OSError(5, "I/O"), httpx2.ReadError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_error_of_the_connection_keeps_its_meaning_and_has_a_text(error: Exception, kind: type[Exception]) -> None:
    translated = httpx_error_from_aiohttp(error)
    assert type(translated) is kind
    assert str(translated) == (str(error) or type(error).__name__)


def test_http2_server_is_recognised_by_its_first_frame() -> None:
    info = cast(Any, type("Info", (), {"real_url": "https://api.example"}))
    frame = aiohttp.ClientResponseError(info, (), message=r"Bad status line b'\x00\x00\x12\x04\x00\x00\x00\x00\x00'")
    other = aiohttp.ClientResponseError(info, (), message="Bad status line")
    assert isinstance(httpx_error_from_aiohttp(frame), UnexpectedHttp2)
    assert type(httpx_error_from_aiohttp(other)) is httpx2.RemoteProtocolError


@pytest.mark.parametrize(
    ("code", "issuer", "message", "step"),
    [
        (62, "O=Works", "the certificate of api.example cannot be verified: the reason", "host in `base_url`"),
        (64, None, "the certificate of api.example cannot be verified: the reason", "host in `base_url`"),
        (9, None, "the certificate of api.example cannot be verified: the reason", "machine's clock"),
        (10, "O=Works", "the certificate of api.example cannot be verified: the reason", "machine's clock"),
        (19, "O=Works", "was issued by O=Works, which is not trusted here (the reason)", "ORCHESTRATOR_CA_FILE"),
        (19, None, "the certificate of api.example cannot be verified: the reason", "ORCHESTRATOR_CA_FILE"),
        (7, "O=Works", "the certificate of api.example cannot be verified: the reason", "ORCHESTRATOR_CA_FILE"),
    ],
)
def test_refused_certificate_names_its_cause_and_the_next_step(
    code: int, issuer: str | None, message: str, step: str
) -> None:
    error = httpx_error_from_aiohttp(refused_certificate(code), issuer=issuer)
    assert isinstance(error, BadCertificate)
    assert str(error).endswith(message)
    assert step in error.hint

    held = provider_error_from_transport(error, "acme", Redactor())
    assert (type(held), held.account, held.hint) == (CertificateNotTrusted, "acme", error.hint)


def test_certificate_that_is_refused_without_a_reason_quotes_the_library() -> None:
    assert str(httpx_error_from_aiohttp(refused_certificate(1, ""))).endswith("text")


@pytest.mark.parametrize(("status", "is_refusal"), [(401, True), (403, True), (407, True), (502, False)])
def test_proxy_that_refuses_holds_the_account_and_one_that_fails_does_not(status: int, *, is_refusal: bool) -> None:
    info = cast(Any, type("Info", (), {"real_url": "http://proxy.example"}))
    failed = aiohttp.ClientHttpProxyError(info, (), status=status, message="no")

    error = httpx_error_from_aiohttp(failed, Proxy("http://proxy.example:3128", "HTTPS_PROXY"))

    assert f"responded with {status} no" in str(error)
    assert "proxy.example:3128" in str(error)
    kind = type(provider_error_from_transport(error, "acme", Redactor()))
    assert kind is (ProxyRefused if is_refusal else ProviderUnavailable)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            connect(aiohttp.ClientProxyConnectionError, OSError(111, "Connection refused")),
            "the proxy http://proxy.example:3128 (HTTPS_PROXY) cannot be reached: Connection refused",
        ),
        (
            connect(aiohttp.ClientConnectorDNSError, OSError(-2, "Name or service not known")),
            "the name api.example cannot be resolved: Name or service not known",
        ),
        (connect(aiohttp.ClientConnectorDNSError, OSError("x")), "the name api.example cannot be resolved: x"),
    ],
)
def test_host_that_cannot_be_reached_is_named_with_the_cause(error: Exception, message: str) -> None:
    translated = httpx_error_from_aiohttp(error, Proxy("http://proxy.example:3128", "HTTPS_PROXY"))
    assert isinstance(translated, ConnectionFailed)
    assert str(translated) == message
    assert "The call is retried automatically." in translated.hint


@pytest.mark.parametrize("reason", ["HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"])
def test_server_without_tls_is_recognised_by_every_reason_of_openssl(reason: str) -> None:
    assert str(httpx_error_from_aiohttp(tls_failure(reason))).endswith("the server does not use TLS on this port")


def test_tls_failure_without_a_reason_quotes_the_library() -> None:
    assert str(httpx_error_from_aiohttp(tls_failure(""))).startswith("TLS with api.example:443 failed: ")
    assert "[SSL: ] failed" in str(httpx_error_from_aiohttp(tls_failure("")))


def test_call_without_a_response_is_retried_and_names_the_class_and_no_key() -> None:
    redact = Redactor()
    redact.add(Secret("sk-proj-0123456789abcdef"))

    errors = [
        provider_error_from_transport(error, "acme", redact)
        for error in (
            httpx2.ReadError("reset by sk-proj-0123456789abcdef"),
            httpx2.ReadError(""),
            ResponseTooLarge(),
            httpx2.ReadError("x" * 5000),
        )
    ]

    assert {type(error) for error in errors} == {ProviderUnavailable}
    assert {error.account for error in errors} == {"acme"}
    assert errors[0].message.startswith("no response from the provider (ReadError: reset by ")
    assert "0123456789abcdef" not in errors[0].message
    assert errors[1].message == "no response from the provider (ReadError)"
    assert errors[2].message == "no response from the provider (the response is larger than 16 MiB)"
    assert errors[2].hint == ResponseTooLarge.hint
    assert errors[1].hint == ProviderUnavailable.default_hint
    assert len(errors[3].message) == MAX_MESSAGE_LENGTH
