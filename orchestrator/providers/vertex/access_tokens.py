"""Access tokens for a credential document of Google, obtained with google-auth, the extra `vertex`.

google-auth brings a transport of its own, which would open connections with `requests`: without the account's proxy,
without the configured certificate authorities, and to whatever address a credential document names. So it sends its
requests by `AuthRequest`, with the HTTP client of the account.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2

from orchestrator.core.errors import AuthenticationFailed, ConfigError, ProviderError, ProviderUnavailable
from orchestrator.core.secret import MIN_KEY_LENGTH, Redactor, Secret
from orchestrator.core.structs import Struct, field
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.providers.http.client import HttpClient, create_http_client
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.upload_address import find_address_problem

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
METADATA_SERVER: Final = "metadata_server"
# What google-auth raises besides its own errors: it checks neither a document nor a response before it reads them.
DOCUMENT_ERRORS: Final = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, OSError,
)  # fmt: skip
DEFAULT_TIMEOUT_SECONDS: Final = 20.0  # of one request
MAX_TOKEN_CHARACTERS: Final = 16_000  # Google's have at most 2,048
MAX_REFRESHES: Final = 32  # at the same time; each may wait for its token endpoint
KEPT_TOKENS: Final = 30  # expired ones that are still redacted: a day's, of an hour each
DOCUMENT_HINT: Final = (
    "Use the key file of a service account, the application default credentials (google:default), or a command that "
    "prints an access token (cmd:gcloud auth print-access-token). Then `orchestrator release` the account."
)
NO_METADATA_HINT: Final = (
    "The service tries again. google:default found no file (GOOGLE_APPLICATION_CREDENTIALS, or the file that `gcloud "
    "auth application-default login` writes), so it requires the metadata server that machines at Google have."
)


class AddressRefused(Exception):
    """The address of a token endpoint is not allowed. The text does not repeat what may be a key."""


class AuthResponse(Struct, frozen=True):
    """A response in the form that google-auth reads."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class AuthRequest(Struct, eq=False):
    """Sends requests for google-auth, which calls it from a worker thread, in the event loop.

    The addresses are those of a document that somebody wrote, so they are restricted as a provider's upload addresses
    are. A metadata server has no TLS and is reached without a proxy: a proxy would ask its own metadata server.
    """

    http: HttpClient
    base_url: str  # of the account's API
    loop: asyncio.AbstractEventLoop
    transport_error: type[Exception]  # google-auth's
    redact: Redactor
    is_metadata_server: bool = False
    assertions: list[Secret] = field(default_factory=list)  # of the requests: each is worth a token
    status: int | None = None  # of the last response; None before the first

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> AuthResponse:
        """Send one request and wait for the response. Raises google-auth's TransportError and AddressRefused."""
        self._check_address(url)
        self._register_assertion(body)
        host = urlsplit(url).hostname
        sending = asyncio.run_coroutine_threadsafe(self._send(url, method, body, headers or {}), self.loop)
        try:
            response = sending.result(timeout or DEFAULT_TIMEOUT_SECONDS)
        except (TimeoutError, concurrent.futures.CancelledError) as error:  # cancelled: the program stops
            sending.cancel()
            raise self.transport_error(f"{host} did not respond in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self.transport_error(f"{host} cannot be reached: {type(error).__name__}: {error}") from error
        self.status = response.status
        return AuthResponse(response.status, response.headers, response.content)

    def _check_address(self, url: str) -> None:
        if self.is_metadata_server:
            return
        if problem := find_address_problem(url, self.base_url, "the key"):
            raise AddressRefused(f"the address of the token endpoint, {problem}")

    def _register_assertion(self, body: bytes | None) -> None:
        """Register the signed assertion in a request, because a response may quote the request."""
        for text in parse_qs((body or b"").decode("utf-8", "replace")).get("assertion", []):
            assertion = Secret(text)
            self.redact.add(assertion, parts=False)
            self.assertions.append(assertion)

    async def _send(self, url: str, method: str, body: bytes | None, headers: Mapping[str, str]) -> HttpResponse:
        options: dict[str, Any] = {"content": body} if body else {}
        if not self.is_metadata_server:
            return await self.http.send(method, url, headers, **options)
        async with create_http_client(1) as direct:
            return await direct.send(method, url, headers, **options)


class AccessTokens:
    """The access tokens of one document, for all accounts that use it. A token is obtained when it is first needed.

    A token is replaced some minutes before it expires, and when a provider refuses it. It is not replaced after the
    refusal of a token that the provider has never accepted: such a refusal has another reason, and a permission that
    is missing would cost a token with every call.
    """

    def __init__(self, document: Secret, http: HttpClient, base_url: str, redact: Redactor) -> None:
        self._document = document
        self._http = http
        self._base_url = base_url
        self._redact = redact
        self._lock = asyncio.Lock()
        self._credentials: Any = None  # google-auth's; None: not loaded yet
        self._token: Secret | None = None
        self._is_accepted = False
        self._old: deque[Secret] = deque()

    async def get_token(self, account: str) -> Secret:
        """Return a token that is valid for some minutes. Raises AuthenticationFailed and ProviderUnavailable."""
        async with self._lock:
            if self._token is None or self._credentials is None or not self._credentials.valid:
                return await self._refresh(account)
            return self._token

    async def replace_token(self, refused: Secret, account: str) -> Secret | None:
        """Return the token that replaces a refused one; None if no other would be accepted. Raises as `get_token`."""
        async with self._lock:
            if self._token is not refused:
                return self._token
            return await self._refresh(account) if self._is_accepted else None

    def confirm_token(self, token: Secret) -> None:
        """Record that the provider has accepted the token."""
        self._is_accepted = self._is_accepted or token is self._token

    async def _refresh(self, account: str) -> Secret:
        google = await asyncio.to_thread(_import_google)
        if self._credentials is None:
            self._credentials = _load_credentials(google, self._document, account)
        request = AuthRequest(
            self._http,
            self._base_url,
            asyncio.get_running_loop(),
            google.exceptions.TransportError,
            self._redact,
            _get_type(self._document) == METADATA_SERVER,
        )
        # For a document that is not valid google-auth also raises errors of Python, whose texts may quote it.
        errors = (google.exceptions.GoogleAuthError, AddressRefused, *DOCUMENT_ERRORS)
        try:
            await request.loop.run_in_executor(_get_threads(), self._credentials.refresh, request)
            token = _read_token(self._credentials)
        except errors as error:
            self._credentials = None  # may hold a part of a response that could not be read
            raise self._to_provider_error(error, request, google, account) from None
        finally:
            self._forget_old_secrets(request.assertions)
        self._redact.add(token)
        if self._token and self._token.fingerprint != token.fingerprint:
            self._forget_old_secrets([self._token])
        self._token, self._is_accepted = token, False
        return token

    def _to_provider_error(
        self, error: Exception, request: AuthRequest, google: SimpleNamespace, account: str
    ) -> ProviderError:
        text = sanitize_line(self._redact(str(error.args[0]) if error.args else type(error).__name__))
        transport, known = google.exceptions.TransportError, google.exceptions.GoogleAuthError | AddressRefused
        if isinstance(error, transport) or isinstance(error.__cause__, transport) or _is_retryable(error):
            is_metadata = _get_type(self._document) == METADATA_SERVER
            hint = NO_METADATA_HINT if is_metadata else ""
            return ProviderUnavailable(f"no access token could be obtained: {text}", account=account, hint=hint)
        if request.status is not None and (request.status < 400 or not isinstance(error, known)):
            # For example the page of a proxy. It says nothing about the key, so the account must not be held.
            return ProviderUnavailable(
                f"no access token could be read from the token endpoint's response with status {request.status} "
                f"({type(error).__name__})",
                account=account,
            )
        if isinstance(error, known):
            return AuthenticationFailed(f"no access token was issued: {text}", account=account)
        # Of an error that is not google-auth's only the kind: a parser may quote what it cannot read.
        return AuthenticationFailed(
            f"no access token could be obtained with the credential document ({type(error).__name__})",
            account=account,
            hint=DOCUMENT_HINT,
        )

    def _forget_old_secrets(self, secrets: list[Secret]) -> None:
        """Redact an expired secret for about a day, and not for ever: a token of an hour makes thousands a year."""
        self._old.extend(secrets)
        while len(self._old) > 2 * KEPT_TOKENS:  # a token and its assertion
            self._redact.remove(self._old.popleft().fingerprint)


def is_credential_document(key: Secret) -> bool:
    """Return whether the key is a document, and not an access token."""
    return key.reveal().startswith("{")


def check_google_auth_installed() -> None:
    """Raise ConfigError if google-auth is not installed. Does not import it, which takes a quarter of a second."""
    try:
        found = find_spec("google.auth")
    except ModuleNotFoundError:  # there is no package `google` at all
        found = None
    if found is None:
        raise ConfigError(
            "the package google-auth, which obtains access tokens for Vertex AI, is not installed",
            hint="Install it with: pip install 'orchestrator[vertex]'. An access token needs no package: "
            'api_key = "cmd:gcloud auth print-access-token".',
        )


def _load_credentials(google: SimpleNamespace, document: Secret, account: str) -> Any:
    """Return google-auth's credentials for a document. Raises AuthenticationFailed, which does not repeat it."""
    values, kind = json.loads(document.reveal()), _get_type(document)
    loaders: Mapping[str, Callable[[], Any]] = {
        "service_account": lambda: google.service_account.Credentials.from_service_account_info(
            values, scopes=SCOPES
        ),
        "authorized_user": lambda: google.user.Credentials.from_authorized_user_info(values),
        "external_account": lambda: google.identity_pool.Credentials.from_info(values, scopes=SCOPES),
        METADATA_SERVER: lambda: google.compute_engine.Credentials(scopes=SCOPES),
    }
    if kind not in loaders:
        shown = f'"{sanitize_line(kind)[:40]}"' if kind else "no type"
        raise AuthenticationFailed(
            f"the key is a JSON document of {shown}, which is not supported", account=account, hint=DOCUMENT_HINT
        )
    try:
        return loaders[kind]()
    except (google.exceptions.GoogleAuthError, *DOCUMENT_ERRORS):
        raise AuthenticationFailed(
            f"the credential document of type {kind} is not complete or not valid",
            account=account,
            hint=DOCUMENT_HINT,
        ) from None


def _read_token(credentials: Any) -> Secret:
    """Return the token that google-auth has read. Raises ValueError for one that no header can carry.

    It could also be a short text, which the redactor would not know as a key.
    """
    token = credentials.token
    if not isinstance(token, str) or not MIN_KEY_LENGTH <= len(token) <= MAX_TOKEN_CHARACTERS:
        raise ValueError("the access token is no text of a possible length")
    if not (token.isascii() and token.isprintable()):
        raise ValueError("the access token has characters that no header can carry")
    return Secret(token)


@cache
def _get_threads() -> concurrent.futures.ThreadPoolExecutor:
    """Return the threads in which google-auth waits for its requests.

    Not those of the event loop: they also look up host names, so that a few refreshes which occupy them would wait
    for themselves, and with them every other call of the program.
    """
    return concurrent.futures.ThreadPoolExecutor(MAX_REFRESHES, thread_name_prefix="google-auth")


def _get_type(document: Secret) -> str:
    kind = json.loads(document.reveal()).get("type")
    return kind if isinstance(kind, str) else ""


def _is_retryable(error: Exception) -> bool:
    return bool(getattr(error, "retryable", False))


@cache
def _import_google() -> SimpleNamespace:
    """Import google-auth when the first token is needed."""
    modules: dict[str, ModuleType] = {
        "exceptions": import_module("google.auth.exceptions"),
        "service_account": import_module("google.oauth2.service_account"),
        "user": import_module("google.oauth2.credentials"),
        "identity_pool": import_module("google.auth.identity_pool"),
        "compute_engine": import_module("google.auth.compute_engine"),
    }
    return SimpleNamespace(**modules)
