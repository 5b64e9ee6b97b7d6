"""The base of the clients of one account: time limits, reads, and the translation of failures into `ProviderError`s.

How a failure is classified decides whether a job may be created again, so it is decided here once for all providers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlencode, urlsplit

import httpx2
import msgspec

from orchestrator.core.errors import ProviderError, ProviderUnavailable, TemporaryError, UnknownOutcome
from orchestrator.core.secret import Redactor
from orchestrator.providers.base import Deadline
from orchestrator.providers.http.client import HttpClient, encode_base_url
from orchestrator.providers.http.deadline import DeadlinePassed, check_deadline, send_deadline
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.response_decoder import (
    DECODE_ERRORS,
    EXCERPT_SOURCE_BYTES,
    Decoded,
    ListLimits,
    MalformedResponse,
    decode_response,
)
from orchestrator.providers.http.status_errors import ErrorCodes, provider_error_from_response
from orchestrator.providers.http.transport_errors import provider_error_from_transport

READ_CALL_TIMEOUT_SECONDS: Final = 60.0  # a read that takes longer fails and is tried again later


class UnsuccessfulResponse(Exception):
    """A response whose status is no success. Only inside of `providers`: it leaves as a `ProviderError`."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes, path: str) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers
        self.content = content
        self.path = path

    def parse_body(self) -> Mapping[str, Any]:
        """Return the JSON object in the response; an empty one where there is none."""
        try:
            body = msgspec.json.decode(self.content)
        except DECODE_ERRORS:
            return {}
        return body if isinstance(body, dict) else {}

    def with_code(self, code: str | None, message: str | None) -> UnsuccessfulResponse:
        """Return the same refusal with a body in which errors are read. Without a message its response is quoted.

        A code also counts without a message: without its code a full quota would be a final failure of the job.
        """
        text = message or self.content[:EXCERPT_SOURCE_BYTES].decode("utf-8", "replace")
        content = msgspec.json.encode({"code": code, "message": text})
        return UnsuccessfulResponse(self.status, self.headers, content, self.path)


class ApiClient:
    """The calls of one account below `base_url`. `read_call` and `write_call` raise only `ProviderError`s."""

    __slots__ = ("_account_name", "_base_url", "_error_codes", "_http", "_redact")  # one client for each account

    sdk_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """The errors that an SDK raises besides those of the HTTP client."""

    def __init__(
        self, http: HttpClient, base_url: str, *, account_name: str, redact: Redactor, error_codes: ErrorCodes
    ) -> None:
        self._http = http
        self._base_url = encode_base_url(base_url)
        self._account_name = account_name
        self._redact = redact
        self._error_codes = error_codes

    def with_base_url(self, base_url: str) -> Self:
        """Return a client of the same account, with the same key, for another address of its provider."""
        other = copy(self)
        other._base_url = encode_base_url(base_url)
        return other

    @property
    def _call_errors(self) -> tuple[type[Exception], ...]:
        """The exceptions of a failed call, which become `ProviderError`s."""
        return (*self.sdk_errors, UnsuccessfulResponse, httpx2.HTTPError, OSError, *DECODE_ERRORS)

    def _build_read_headers(self) -> Mapping[str, str]:
        """Return the headers of a read, the key among them."""
        raise NotImplementedError

    def _unwrap_error(self, error: Exception) -> Exception:
        """Return the HTTP client's error, or the UnsuccessfulResponse, that an SDK has wrapped in its own."""
        return error

    async def get(self, path: str, **query: str) -> HttpResponse:
        """Send a GET; `path` is percent-encoded. Raises UnsuccessfulResponse."""
        url = self._base_url + path
        response = await self._http.get(f"{url}?{urlencode(query)}" if query else url, self._build_read_headers())
        if response.status != httpx2.codes.OK:  # 206, for example, is a success, but part of a list is not the list
            raise UnsuccessfulResponse(response.status, response.headers, response.content, path)
        return response

    async def get_decoded(self, decoder: msgspec.json.Decoder[Decoded], path: str, **query: str) -> Decoded:
        """Send a GET and decode the response. Raises UnsuccessfulResponse and MalformedResponse."""
        return self.decode(decoder, (await self.get(path, **query)).content, path)

    async def get_page(
        self, limits: ListLimits, decoder: msgspec.json.Decoder[Decoded], path: str, **query: str
    ) -> Decoded:
        """Read and decode one page of a list. Raises UnsuccessfulResponse and MalformedResponse."""
        content = (await self.get(path, **query)).content
        limits.count_bytes(len(content))
        return self.decode(decoder, content, path)

    async def post_to(self, url: str, body: Mapping[str, Any], *, timeout_seconds: float) -> HttpResponse:
        """Send a POST of JSON to a URL that is not below the base URL. Raises UnsuccessfulResponse.

        Only for an address that is known before: the request has the key.
        """
        response = await self._http.send("POST", url, self._build_read_headers(), json=body, timeout=timeout_seconds)
        if response.status != httpx2.codes.OK:
            raise UnsuccessfulResponse(response.status, response.headers, response.content, urlsplit(url).path)
        return response

    def decode(self, decoder: msgspec.json.Decoder[Decoded], content: bytes, path: str) -> Decoded:
        """Decode the response to a request for `path`. Raises MalformedResponse."""
        return decode_response(decoder, content, path, self._redact)

    @asynccontextmanager
    async def read_call(self, seconds: float = READ_CALL_TIMEOUT_SECONDS) -> AsyncIterator[None]:
        """Run calls that may be repeated, within a time limit. Raises only `ProviderError`s."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except self._call_errors as error:
            raise self.to_provider_error(self._unwrap_error(error)) from error

    @asynccontextmanager
    async def write_call(self, deadline: Deadline) -> AsyncIterator[None]:
        """Run calls that cost or create something: each is sent before the deadline, and once.

        Raises UnknownOutcome where the provider may have received the request, and other `ProviderError`s only where
        it certainly did nothing: after those, the job is created again without a look-up.
        """
        try:
            with send_deadline(deadline):
                check_deadline()  # else the time limit, which is 0 then, ends the call as if a response was lost
                async with asyncio.timeout(max(deadline.seconds_left, 0)):
                    yield
        except self._call_errors as error:
            cause = self._unwrap_error(error)
            if isinstance(cause, DeadlinePassed):
                raise TemporaryError(str(cause), account=self._account_name) from error
            known = self.to_provider_error(cause)
            # A ConnectError means that nothing was sent.
            if isinstance(known, ProviderUnavailable) and not isinstance(cause, httpx2.ConnectError):
                raise UnknownOutcome(
                    f"the response was lost: {known.message}",
                    account=self._account_name,
                    request_id=known.request_id,
                ) from error
            raise known from error

    def to_provider_error(self, error: Exception) -> ProviderError:
        """Translate the failure of a call."""
        if isinstance(error, MalformedResponse):
            return ProviderUnavailable(str(error), account=self._account_name)
        if not isinstance(error, UnsuccessfulResponse):
            return provider_error_from_transport(error, self._account_name, self._redact)
        return provider_error_from_response(
            error.status,
            error.headers,
            error.content,
            error.path,
            account=self._account_name,
            error_codes=self._error_codes,
            redact=self._redact,
        )
