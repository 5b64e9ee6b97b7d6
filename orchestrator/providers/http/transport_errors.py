"""Translates the errors of a connection, each with its cause and what to do about it.

aiohttp's errors become errors of httpx2, because SDKs wrap only those, and errors of httpx2 become `ProviderError`s.
"""

from __future__ import annotations

from typing import Final

import aiohttp
import httpx2

from orchestrator.core.errors import (
    MAX_MESSAGE_LENGTH,
    CertificateNotTrusted,
    ProviderError,
    ProviderUnavailable,
    ProxyRefused,
)
from orchestrator.core.proxy import Proxy
from orchestrator.core.secret import Redactor

MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024  # after decompression
MAX_RESPONSE_VALUES: Final = 1_000_000
"""In the JSON of a response. A value may take a hundred times the memory of its text: 16 MiB of `[],` take 400 MB."""

# OpenSSL's verification codes (X509_V_ERR_…), because its messages differ between versions.
UNKNOWN_AUTHORITY_CODES: Final = frozenset({2, 18, 19, 20, 21, 27})
HOST_MISMATCH_CODES: Final = frozenset({62, 64})
VALIDITY_PERIOD_CODES: Final = frozenset({9, 10})
PROXY_REFUSAL_STATUSES: Final = frozenset({401, 403, 407})
# The first frame of every HTTP/2 server, as aiohttp shows it in its message.
HTTP2_SETTINGS_FRAME: Final = r"\x04\x00\x00\x00\x00\x00"
HTTP2_ONLY_MESSAGE: Final = "the server supports only HTTP/2, and this program HTTP/1.1"
ALLOW_HTTP1_HINT: Final = "The call is retried automatically. Allow HTTP/1.1 at the server or its gateway."
COMPANY_NETWORK_HINT: Final = "See docs/how-to/company-network.md."

# The first class that matches counts: subclasses stand before their bases.
HTTPX_ERROR_CLASSES: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (aiohttp.SocketTimeoutError, httpx2.ReadTimeout),
    (aiohttp.ServerTimeoutError, httpx2.ConnectTimeout),
    (TimeoutError, httpx2.PoolTimeout),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol),
    (aiohttp.ClientOSError, httpx2.ReadError),
    (aiohttp.ClientError, httpx2.RemoteProtocolError),
    (OSError, httpx2.ReadError),
)


class ResponseTooLarge(httpx2.RemoteProtocolError):
    """The response is larger than any response of a provider's API. What is left of it is not read."""

    hint: Final = (
        "The call is retried automatically. Check that `base_url` is the provider's API and not a page or a file; "
        "if it does, report it to the provider."
    )

    def __init__(self, what: str = f"is larger than {MAX_RESPONSE_BYTES >> 20} MiB") -> None:
        super().__init__(f"the response {what}")


class UnexpectedHttp2(httpx2.RemoteProtocolError):
    """The server sends frames of HTTP/2 in response to HTTP/1.1."""

    hint: Final = ALLOW_HTTP1_HINT

    def __init__(self) -> None:
        super().__init__(HTTP2_ONLY_MESSAGE)


class ConnectionFailed(httpx2.ConnectError):
    """No connection was made, so nothing was sent. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadCertificate(ConnectionFailed):
    """The server's certificate cannot be verified."""


class ProxyDenied(ConnectionFailed):
    """The proxy refuses to connect this client."""


def check_value_count(content: bytes) -> None:
    """Raise ResponseTooLarge for JSON that would take too much memory when it is decoded, here or in an SDK."""
    # Every value follows one of these characters. Those inside of texts count, too; a short content is not searched.
    if len(content) > MAX_RESPONSE_VALUES and sum(map(content.count, (b",", b"[", b"{"))) > MAX_RESPONSE_VALUES:
        raise ResponseTooLarge(f"has more than {MAX_RESPONSE_VALUES:,} values")


def httpx_error_from_aiohttp(
    error: Exception, proxy: Proxy | None = None, issuer: str | None = None
) -> httpx2.TransportError:
    """Translate an error of aiohttp to one of httpx2. `issuer` is the issuer of a certificate that was refused."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _build_certificate_error(error, issuer)
        case aiohttp.ClientHttpProxyError():
            return _build_proxy_error(error, proxy)
        case aiohttp.ClientProxyConnectionError():
            why = error.os_error.strerror or error.os_error
            return ConnectionFailed(
                f"the proxy {proxy} cannot be reached: {why}",
                f"The call is retried automatically. {COMPANY_NETWORK_HINT}",
            )
        case aiohttp.ClientConnectorDNSError():
            return ConnectionFailed(
                f"the name {error.host} cannot be resolved: {error.os_error.strerror or error.os_error}",
                "The call is retried automatically. Check `base_url`, the DNS and whether a proxy is needed "
                f"(HTTPS_PROXY). {COMPANY_NETWORK_HINT}",
            )
        case aiohttp.ClientConnectorSSLError():
            return _build_tls_error(error)
        case aiohttp.ClientResponseError() if HTTP2_SETTINGS_FRAME in error.message:
            return UnexpectedHttp2()
    known = next(ours for theirs, ours in HTTPX_ERROR_CLASSES if isinstance(error, theirs))
    return known(str(error) or type(error).__name__)


def provider_error_from_transport(error: BaseException, account: str, redact: Redactor) -> ProviderError:
    """Translate an error of httpx2, for a call without a response."""
    hint = getattr(error, "hint", "")
    if isinstance(error, BadCertificate | ProxyDenied):
        kind = CertificateNotTrusted if isinstance(error, BadCertificate) else ProxyRefused
        return kind(redact.truncate(str(error), MAX_MESSAGE_LENGTH), hint=hint, account=account)
    name = type(error).__name__
    text = str(error) if hint else f"{name}: {error}" if str(error) else name
    message = redact.truncate(f"no response from the provider ({text})", MAX_MESSAGE_LENGTH)
    return ProviderUnavailable(message, hint=hint, account=account)


def _build_certificate_error(error: aiohttp.ClientConnectorCertificateError, issuer: str | None) -> BadCertificate:
    refused = error.certificate_error
    code, why = getattr(refused, "verify_code", 0), getattr(refused, "verify_message", "") or str(refused)
    message = f"the certificate of {error.host} cannot be verified: {why}"
    release = "then run `orchestrator release` for the account."
    if code in HOST_MISMATCH_CODES:
        return BadCertificate(message, f"Correct the host in `base_url`; {release}")
    if code in VALIDITY_PERIOD_CODES:
        return BadCertificate(
            message, f"Check this machine's clock, and ask the server's operator to renew it; {release}"
        )
    if code in UNKNOWN_AUTHORITY_CODES and issuer:
        message = f"the certificate of {error.host} was issued by {issuer}, which is not trusted here ({why})"
    return BadCertificate(
        message,
        "Put the certificate of that authority (PEM) into a file, set ORCHESTRATOR_CA_FILE to its path and restart; "
        f"{release} {COMPANY_NETWORK_HINT}",
    )


def _build_proxy_error(error: aiohttp.ClientHttpProxyError, proxy: Proxy | None) -> ConnectionFailed:
    message = f"the proxy {proxy} responded with {error.status} {error.message}".rstrip()
    if error.status in PROXY_REFUSAL_STATUSES:
        return ProxyDenied(message)
    return ConnectionFailed(
        message,
        f"The call is retried automatically. If it keeps failing, ask the proxy's administrator. "
        f"{COMPANY_NETWORK_HINT}",
    )


def _build_tls_error(error: aiohttp.ClientConnectorSSLError) -> ConnectionFailed:
    reason = getattr(error.os_error, "reason", "") or str(error.os_error)
    if "NO_APPLICATION_PROTOCOL" in reason:
        return ConnectionFailed(HTTP2_ONLY_MESSAGE, ALLOW_HTTP1_HINT)
    message = f"TLS with {error.host}:{error.port} failed: {reason}"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return ConnectionFailed(
            f"{message}; the server does not use TLS on this port",
            "The call is retried automatically. Check host and port in `base_url`, and any proxy in between.",
        )
    return ConnectionFailed(message, f"The call is retried automatically. {COMPANY_NETWORK_HINT}")
