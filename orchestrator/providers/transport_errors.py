"""Transport errors: what can go wrong between this process and a provider, each with its cause and its remedy.

They are errors of httpx2, because SDKs let nothing else through as their own. `translate` turns what aiohttp raises
into one of them, and `unanswered` turns one of them into a `ProviderError`.
"""

from __future__ import annotations

from typing import Final

import aiohttp
import httpx2

from orchestrator.core.errors import (
    MESSAGE_LIMIT,
    CertificateNotTrusted,
    ProviderError,
    ProviderUnavailable,
    ProxyRefused,
)
from orchestrator.core.proxy import Proxy
from orchestrator.core.secret import Redactor

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024  # after decompression
UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})  # OpenSSL's codes of a chain that leads to nobody known
OTHER_HOST: Final = frozenset({62, 64})
OUT_OF_DATE: Final = frozenset({9, 10})
REFUSED_BY_PROXY: Final = frozenset({401, 403, 407})
HTTP2_SETTINGS: Final = r"\x04\x00\x00\x00\x00\x00"  # the first frame of every HTTP/2 server, as aiohttp shows it
ONLY_HTTP2: Final = "the server speaks only HTTP/2, and this program HTTP/1.1"
ALLOW_HTTP1: Final = "It is tried again. Allow HTTP/1.1 at the server, or at the gateway before it."
LOOK: Final = "See docs/how-to/company-network.md."

# The first that fits.
ERRORS: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (aiohttp.SocketTimeoutError, httpx2.ReadTimeout),
    (aiohttp.ServerTimeoutError, httpx2.ConnectTimeout),
    (TimeoutError, httpx2.PoolTimeout),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol),
    (aiohttp.ClientOSError, httpx2.ReadError),
    (aiohttp.ClientError, httpx2.RemoteProtocolError),
    (OSError, httpx2.ReadError),
)


class AnswerTooLarge(httpx2.RemoteProtocolError):
    """The answer is larger than any of a provider's API is. The rest of it is not read."""

    hint: Final = (
        "It is tried again. Check that `base_url` leads to the provider's API and not to a page or a file; "
        "if it does, report it to the provider."
    )

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")


class AnsweredInHttp2(httpx2.RemoteProtocolError):
    """The server sends the frames of HTTP/2, whatever it was asked in."""

    hint: Final = ALLOW_HTTP1

    def __init__(self) -> None:
        super().__init__(ONLY_HTTP2)


class NeverConnected(httpx2.ConnectError):
    """There was no connection, so nothing was sent. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadCertificate(NeverConnected):
    """The server's certificate cannot be verified."""


class BadProxy(NeverConnected):
    """The proxy refuses to connect us."""


def translate(error: Exception, proxy: Proxy | None = None, issuer: str | None = None) -> httpx2.TransportError:
    """A failure of aiohttp as one of httpx2. `issuer` is who signed a certificate that was refused."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _certificate(error, issuer)
        case aiohttp.ClientHttpProxyError():
            return _refusal(error, proxy)
        case aiohttp.ClientProxyConnectionError():
            why = error.os_error.strerror or error.os_error
            return NeverConnected(f"the proxy {proxy} cannot be reached: {why}", f"It is tried again. {LOOK}")
        case aiohttp.ClientConnectorDNSError():
            return NeverConnected(
                f"the name {error.host} cannot be resolved: {error.os_error.strerror or error.os_error}",
                "It is tried again. Check `base_url`, this machine's DNS, and whether a proxy is needed "
                f"(HTTPS_PROXY). {LOOK}",
            )
        case aiohttp.ClientConnectorSSLError():
            return _tls(error)
        case aiohttp.ClientResponseError() if HTTP2_SETTINGS in error.message:
            return AnsweredInHttp2()
    known = next(ours for theirs, ours in ERRORS if isinstance(error, theirs))
    return known(str(error) or type(error).__name__)


def unanswered(error: BaseException, account: str, redact: Redactor) -> ProviderError:
    """The error of a call that has no answer."""
    hint = getattr(error, "hint", "")
    if isinstance(error, BadCertificate | BadProxy):
        kind = CertificateNotTrusted if isinstance(error, BadCertificate) else ProxyRefused
        return kind(redact.cut(str(error), MESSAGE_LIMIT), hint=hint, account=account)
    name = type(error).__name__
    text = str(error) if hint else f"{name}: {error}" if str(error) else name
    said = redact.cut(f"no answer from the provider ({text})", MESSAGE_LIMIT)
    return ProviderUnavailable(said, hint=hint, account=account)


def _certificate(error: aiohttp.ClientConnectorCertificateError, issuer: str | None) -> BadCertificate:
    refused = error.certificate_error
    code, why = getattr(refused, "verify_code", 0), getattr(refused, "verify_message", "") or str(refused)
    begin = f"the certificate of {error.host} cannot be verified: {why}"
    release = "then `orchestrator release` the account."
    if code in OTHER_HOST:
        return BadCertificate(begin, f"Correct the host in `base_url`; {release}")
    if code in OUT_OF_DATE:
        return BadCertificate(
            begin, f"Check this machine's clock, and ask the server's operator to renew it; {release}"
        )
    if code in UNKNOWN_AUTHORITY and issuer:
        begin = f"the certificate of {error.host} was issued by {issuer}, which is not trusted here ({why})"
    return BadCertificate(
        begin,
        "Put the certificate of that authority (PEM) into a file, set ORCHESTRATOR_CA_FILE to its path and restart; "
        f"{release} {LOOK}",
    )


def _refusal(error: aiohttp.ClientHttpProxyError, proxy: Proxy | None) -> NeverConnected:
    message = f"the proxy {proxy} answered {error.status} {error.message}".rstrip()
    if error.status in REFUSED_BY_PROXY:
        return BadProxy(message)
    return NeverConnected(message, f"It is tried again. If it lasts, ask the proxy's administrator. {LOOK}")


def _tls(error: aiohttp.ClientConnectorSSLError) -> NeverConnected:
    reason = getattr(error.os_error, "reason", "") or str(error.os_error)
    if "NO_APPLICATION_PROTOCOL" in reason:
        return NeverConnected(ONLY_HTTP2, ALLOW_HTTP1)
    message = f"TLS with {error.host}:{error.port} failed: {reason}"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return NeverConnected(
            f"{message}; what answers there does not speak TLS",
            "It is tried again. Check host and port in `base_url`, and whether a proxy or gateway stands there.",
        )
    return NeverConnected(message, f"It is tried again. {LOOK}")
