"""Calls of one account to a server that speaks OpenAI's API, and what goes wrong with them.

What creates or changes something goes through the SDK. Reads, which are most of all calls, leave it out: the same
request takes half the CPU without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Final, Protocol
from urllib.parse import urlencode

import httpx2
import msgspec
import openai

from orchestrator.core.account import Account
from orchestrator.core.errors import ProviderError, ProviderUnavailable, UnknownOutcome
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import Deadline
from orchestrator.providers.http.client import HttpClient, encode_base_url
from orchestrator.providers.http.deadline import send_deadline
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.response_decoder import (
    DECODE_ERRORS,
    Decoded,
    ListLimits,
    ListPage,
    MalformedResponse,
    decode_response,
)
from orchestrator.providers.http.status_errors import ErrorCodes, provider_error_from_response
from orchestrator.providers.http.transport_errors import provider_error_from_transport
from orchestrator.providers.openai.responses import OpenAIObject

READ_CALL_TIMEOUT_SECONDS: Final = 60.0  # a read that takes longer is given up and tried again
PAGE_SIZE: Final = 100
EMPTY_QUERY: Final[Mapping[str, str]] = {}


class RawResponse(Protocol):
    """An answer of the SDK's or of a read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by names in any case."""

    @property
    def content(self) -> bytes:
        """Its body."""


SdkFactory = Callable[[str], openai.AsyncOpenAI]
"""The SDK's client for the servers at a base URL."""


def build_sdk_factory(http: HttpClient) -> SdkFactory:
    """The SDK on this HTTP client, one client for each base URL: a client for each account costs half a millisecond.

    It has no key, nothing of the environment, and tries nothing again.
    """
    base = openai.AsyncOpenAI(
        api_key="unused", base_url="https://unused.invalid", http_client=http.sdk_client, max_retries=0
    )

    @cache
    def sdk(base_url: str) -> openai.AsyncOpenAI:
        made = base.with_options(base_url=base_url, max_retries=0)
        # Set, not passed: the SDK takes OPENAI_ORG_ID and OPENAI_PROJECT_ID of the environment for a missing one.
        made.organization = made.project = None
        return made

    return sdk


class OpenAIClient:
    """One account's calls below `base_url`. Every failure leaves as a `ProviderError`.

    `sdk` knows no key: it is given `headers` with each call.
    """

    __slots__ = ("_account", "_base_url", "_error_codes", "_http", "_key", "_redact", "_sdk_factory")

    def __init__(
        self,
        http: HttpClient,
        sdk_factory: SdkFactory,
        account: Account,
        *,
        base_url: str,
        key: Secret,
        redact: Redactor,
        error_codes: ErrorCodes,
    ) -> None:
        self._http = http
        self._sdk_factory = sdk_factory
        self._account = account
        self._base_url = encode_base_url(base_url)
        self._key = key
        self._redact = redact
        self._error_codes = error_codes

    @property
    def sdk(self) -> openai.AsyncOpenAI:
        return self._sdk_factory(self._base_url)

    @property
    def auth_headers(self) -> dict[str, str]:
        """Who is calling. Made for each call: ten thousand accounts would keep as many."""
        made = {"Authorization": f"Bearer {self._key.reveal()}"}
        if self._account.organization:
            made["OpenAI-Organization"] = self._account.organization
        if self._account.project:
            made["OpenAI-Project"] = self._account.project
        return made

    async def get(self, path: str, **query: str) -> HttpResponse:
        """One read, as the server answers it."""
        headers = {"Accept": "application/json", "User-Agent": self.sdk.user_agent, **self.auth_headers}
        where = f"{self._base_url}{path}?{urlencode(query)}" if query else self._base_url + path
        answer = await self._http.get(where, headers)
        if answer.status != httpx2.codes.OK:  # also another success: part of a list, say, is not the list
            raise self._build_response_error(answer.status, answer.headers, answer.content, path)
        return answer

    async def get_decoded(self, decoder: msgspec.json.Decoder[Decoded], path: str, **query: str) -> Decoded:
        """One read, as what was asked for. Raises MalformedResponse for anything else."""
        return self.decode(decoder, await self.get(path, **query), path)

    def decode(self, decoder: msgspec.json.Decoder[Decoded], answer: RawResponse, path: str) -> Decoded:
        """What was answered at `path`, as what was asked for. Raises MalformedResponse."""
        return decode_response(decoder, answer.content, path, self._redact)

    async def iter_items(
        self,
        path: str,
        decoder: msgspec.json.Decoder[ListPage[OpenAIObject]],
        query: Mapping[str, str] = EMPTY_QUERY,
        *,
        usually_single_page: bool = False,
    ) -> AsyncIterator[OpenAIObject]:
        """Every item of a list, within limits; the SDK's own pager would never end for some servers.

        `usually_whole`: most servers give this list in one page. It is requested without a limit, which a strict
        server could refuse, and only a page that the server announces is requested after it.
        """
        limits = ListLimits(path, asyncio.get_running_loop().time)
        query = dict(query) if usually_single_page else {**query, "limit": str(PAGE_SIZE)}
        seen: set[str] = set()
        more = True
        while more:
            async with self.read_call():
                async with asyncio.timeout(limits.seconds_left):
                    page = await self.get_decoded(decoder, path, **query)
                items = [item for item in page.data if item.id not in seen]
                more = page.has_more is True if usually_single_page else page.has_next(len(items))
                if more:
                    query["after"] = page.data[-1].id
                    limits.count_page(len(page.data), query["after"])
            seen.update(item.id for item in items)
            for item in items:
                yield item

    @asynccontextmanager
    async def read_call(self, seconds: float = READ_CALL_TIMEOUT_SECONDS) -> AsyncIterator[None]:
        """Calls that may be repeated."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (openai.APIError, httpx2.HTTPError, TimeoutError, *DECODE_ERRORS) as error:
            raise self._to_provider_error(error) from error

    @asynccontextmanager
    async def write_call(self, deadline: Deadline) -> AsyncIterator[None]:
        """A call that costs or creates something: sent before the deadline, and once."""
        try:
            with send_deadline(deadline):
                async with asyncio.timeout(max(deadline.seconds_left, 0)):
                    yield
        except (openai.APIError, TimeoutError, *DECODE_ERRORS) as error:
            known = self._to_provider_error(error)
            if isinstance(known, ProviderUnavailable) and not isinstance(error.__cause__, httpx2.ConnectError):
                raise UnknownOutcome(
                    f"the answer was lost: {known.message}",
                    account=self._account.name,
                    request_id=known.request_id,
                ) from error
            raise known from error

    def _to_provider_error(self, error: Exception) -> ProviderError:
        """Every failure of this API, as an error of ours."""
        if isinstance(error, MalformedResponse):
            return ProviderUnavailable(str(error), account=self._account.name)
        if not isinstance(error, openai.APIStatusError):
            cause = error.__cause__ if isinstance(error, openai.APIError) and error.__cause__ else error
            return provider_error_from_transport(cause, self._account.name, self._redact)
        response = error.response
        return self._build_response_error(
            response.status_code, response.headers, response.content, response.request.url.path
        )

    def _build_response_error(
        self, status: int, headers: Mapping[str, str], content: bytes, path: str
    ) -> ProviderError:
        """An answer that is no success."""
        return provider_error_from_response(
            status,
            headers,
            content,
            path,
            account=self._account.name,
            error_codes=self._error_codes,
            redact=self._redact,
        )
