"""The client of one account at a server that speaks OpenAI's API.

Calls that create or change something go through the SDK. Reads, which are most of all calls, go directly through
`HttpClient.get`: the same request takes half the CPU without the SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from typing import ClassVar, Final, Protocol

import msgspec
import openai

from orchestrator.core.account import Account
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.api_client import ApiClient, UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import ListLimits, ListPage
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.openai.responses import OpenAIObject

PAGE_SIZE: Final = 100
EMPTY_QUERY: Final[Mapping[str, str]] = {}


class RawResponse(Protocol):
    """A response of the SDK or of a direct read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; look-up ignores the case of a name."""

    @property
    def content(self) -> bytes:
        """The body."""


SdkFactory = Callable[[str], openai.AsyncOpenAI]
"""Returns the SDK's client for a base URL."""


def build_sdk_factory(http: HttpClient) -> SdkFactory:
    """Build a factory of SDK clients, one for each base URL: one for each account would cost half a millisecond each.

    They have no key and no settings from the environment, and do not retry.
    """
    base = openai.AsyncOpenAI(
        api_key="unused", base_url="https://unused.invalid", http_client=http.sdk_client, max_retries=0
    )

    @cache
    def sdk(base_url: str) -> openai.AsyncOpenAI:
        client = base.with_options(base_url=base_url, max_retries=0)
        # Set, not passed: the SDK takes OPENAI_ORG_ID and OPENAI_PROJECT_ID from the environment for a missing one.
        client.organization = client.project = None
        return client

    return sdk


class OpenAIClient(ApiClient):
    """The calls of one account. The SDK's client has no key: it receives `auth_headers` with each call."""

    __slots__ = ("_account", "_key", "_sdk_factory")

    sdk_errors: ClassVar[tuple[type[Exception], ...]] = (openai.APIError,)

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
        super().__init__(http, base_url, account_name=account.name, redact=redact, error_codes=error_codes)
        self._sdk_factory = sdk_factory
        self._account = account
        self._key = key

    @property
    def sdk(self) -> openai.AsyncOpenAI:
        """The SDK's client, shared by all accounts with this base URL."""
        return self._sdk_factory(self._base_url)

    @property
    def auth_headers(self) -> dict[str, str]:
        """Return the headers that identify the account. Built for each call: 10,000 accounts would keep as many."""
        headers = {"Authorization": f"Bearer {self._key.reveal()}"}
        if self._account.organization:
            headers["OpenAI-Organization"] = self._account.organization
        if self._account.project:
            headers["OpenAI-Project"] = self._account.project
        return headers

    def _build_read_headers(self) -> Mapping[str, str]:
        return {"Accept": "application/json", "User-Agent": self.sdk.user_agent, **self.auth_headers}

    def _unwrap_error(self, error: Exception) -> Exception:
        if isinstance(error, openai.APIStatusError):
            response = error.response
            return UnsuccessfulResponse(
                response.status_code, response.headers, response.content, response.request.url.path
            )
        cause = error.__cause__ if isinstance(error, openai.APIError) else None
        return cause if isinstance(cause, Exception) else error

    async def iter_items(
        self,
        path: str,
        decoder: msgspec.json.Decoder[ListPage[OpenAIObject]],
        query: Mapping[str, str] = EMPTY_QUERY,
        *,
        usually_single_page: bool = False,
    ) -> AsyncIterator[OpenAIObject]:
        """Yield every item of a list, within `ListLimits`; the SDK's own pager would never end for some servers.

        `usually_single_page`: most servers give this list in one page. It is requested without a limit, which a
        strict server could refuse, and only a page that the server announces is requested after it.
        """
        limits = ListLimits(path, asyncio.get_running_loop().time)
        query = dict(query) if usually_single_page else {**query, "limit": str(PAGE_SIZE)}
        seen: set[str] = set()
        more = True
        while more:
            async with self.read_call():
                async with asyncio.timeout(limits.seconds_left):
                    page = await self.get_page(limits, decoder, path, **query)
                items = [item for item in page.data if item.id not in seen]
                more = page.has_more is True if usually_single_page else page.has_next(len(items))
                if more:
                    query["after"] = page.data[-1].id
                    limits.count_page(len(page.data), query["after"])
            seen.update(item.id for item in items)
            for item in items:
                yield item
