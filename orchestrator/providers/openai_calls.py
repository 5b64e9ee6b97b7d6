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
from orchestrator.providers.answers import UNREADABLE, Decoded, ListLimits, MalformedAnswer, Page, decode_answer
from orchestrator.providers.base import Deadline
from orchestrator.providers.failures import Codes, refusal_error
from orchestrator.providers.openai_answers import Shown
from orchestrator.providers.transport import Answer, Read, encoded, sending_before
from orchestrator.providers.transport_errors import unanswered

CALL_SECONDS: Final = 60.0  # a read that takes longer is given up and tried again
PAGE: Final = 100
NO_QUERY: Final[Mapping[str, str]] = {}


class Answered(Protocol):
    """An answer of the SDK's or of a read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by names in any case."""

    @property
    def content(self) -> bytes:
        """Its body."""


Sdk = Callable[[str], openai.AsyncOpenAI]
"""The SDK's client for the servers at a base URL."""


def sdk_of(http: httpx2.AsyncClient) -> Sdk:
    """The SDK on this HTTP client, one client for each base URL: a client for each account costs half a millisecond.

    It has no key, nothing of the environment, and tries nothing again.
    """
    base = openai.AsyncOpenAI(api_key="unused", base_url="https://unused.invalid", http_client=http, max_retries=0)

    @cache
    def sdk(base_url: str) -> openai.AsyncOpenAI:
        made = base.with_options(base_url=base_url, max_retries=0)
        # Set, not passed: the SDK takes OPENAI_ORG_ID and OPENAI_PROJECT_ID of the environment for a missing one.
        made.organization = made.project = None
        return made

    return sdk


class Calls:
    """One account's calls below `base_url`. Every failure leaves as a `ProviderError`.

    `sdk` knows no key: it is given `headers` with each call.
    """

    __slots__ = ("_account", "_base_url", "_codes", "_key", "_read", "_redact", "_sdk")

    def __init__(
        self,
        read: Read,
        sdk: Sdk,
        account: Account,
        *,
        base_url: str,
        key: Secret,
        redact: Redactor,
        codes: Codes,
    ) -> None:
        self._read = read
        self._sdk = sdk
        self._account = account
        self._base_url = encoded(base_url)
        self._key = key
        self._redact = redact
        self._codes = codes

    @property
    def sdk(self) -> openai.AsyncOpenAI:
        return self._sdk(self._base_url)

    @property
    def headers(self) -> dict[str, str]:
        """Who is calling. Made for each call: ten thousand accounts would keep as many."""
        made = {"Authorization": f"Bearer {self._key.reveal()}"}
        if self._account.organization:
            made["OpenAI-Organization"] = self._account.organization
        if self._account.project:
            made["OpenAI-Project"] = self._account.project
        return made

    async def get(self, path: str, **query: str) -> Answer:
        """One read, as the server answers it."""
        headers = {"Accept": "application/json", "User-Agent": self.sdk.user_agent, **self.headers}
        where = f"{self._base_url}{path}?{urlencode(query)}" if query else self._base_url + path
        answer = await self._read(where, headers)
        if answer.status != httpx2.codes.OK:  # also another success: part of a list, say, is not the list
            raise self._refusal(answer.status, answer.headers, answer.content, path)
        return answer

    async def get_decoded(self, decoder: msgspec.json.Decoder[Decoded], path: str, **query: str) -> Decoded:
        """One read, as what was asked for. Raises MalformedAnswer for anything else."""
        return self.decode(decoder, await self.get(path, **query), path)

    def decode(self, decoder: msgspec.json.Decoder[Decoded], answer: Answered, path: str) -> Decoded:
        """What was answered at `path`, as what was asked for. Raises MalformedAnswer."""
        return decode_answer(decoder, answer.content, path, self._redact)

    async def pages(
        self,
        path: str,
        decoder: msgspec.json.Decoder[Page[Shown]],
        query: Mapping[str, str] = NO_QUERY,
        *,
        usually_whole: bool = False,
    ) -> AsyncIterator[Shown]:
        """Every item of a list, within limits; the SDK's own pager would never end for some servers.

        `usually_whole`: most servers give this list in one page. It is requested without a limit, which a strict
        server could refuse, and only a page that the server announces is requested after it.
        """
        limits = ListLimits(path, asyncio.get_running_loop().time)
        query = dict(query) if usually_whole else {**query, "limit": str(PAGE)}
        seen: set[str] = set()
        more = True
        while more:
            async with self.reading():
                async with asyncio.timeout(limits.seconds_left):
                    page = await self.get_decoded(decoder, path, **query)
                items = [item for item in page.data if item.id not in seen]
                more = page.has_more is True if usually_whole else page.has_next(len(items))
                if more:
                    query["after"] = page.data[-1].id
                    limits.count(len(page.data), query["after"])
            seen.update(item.id for item in items)
            for item in items:
                yield item

    @asynccontextmanager
    async def reading(self, seconds: float = CALL_SECONDS) -> AsyncIterator[None]:
        """Calls that may be repeated."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (openai.APIError, httpx2.HTTPError, TimeoutError, *UNREADABLE) as error:
            raise self._translate(error) from error

    @asynccontextmanager
    async def creating(self, deadline: Deadline) -> AsyncIterator[None]:
        """A call that costs or creates something: sent before the deadline, and once."""
        try:
            with sending_before(deadline):
                async with asyncio.timeout(max(deadline.left, 0)):
                    yield
        except (openai.APIError, TimeoutError, *UNREADABLE) as error:
            known = self._translate(error)
            if isinstance(known, ProviderUnavailable) and not isinstance(error.__cause__, httpx2.ConnectError):
                raise UnknownOutcome(
                    f"the answer was lost: {known.message}",
                    account=self._account.name,
                    request_id=known.request_id,
                ) from error
            raise known from error

    def _translate(self, error: Exception) -> ProviderError:
        """Every failure of this API, as an error of ours."""
        if isinstance(error, MalformedAnswer):
            return ProviderUnavailable(str(error), account=self._account.name)
        if not isinstance(error, openai.APIStatusError):
            cause = error.__cause__ if isinstance(error, openai.APIError) and error.__cause__ else error
            return unanswered(cause, self._account.name, self._redact)
        response = error.response
        return self._refusal(response.status_code, response.headers, response.content, response.request.url.path)

    def _refusal(self, status: int, headers: Mapping[str, str], content: bytes, path: str) -> ProviderError:
        """An answer that is no success."""
        return refusal_error(
            status, headers, content, path, account=self._account.name, codes=self._codes, redact=self._redact
        )
