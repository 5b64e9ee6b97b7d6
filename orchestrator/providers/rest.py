"""Rest: one account's calls to an API without an SDK of its own here, on the shared client. Nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import msgspec

from orchestrator.core.errors import (
    MESSAGE_LIMIT,
    ProviderError,
    ProviderUnavailable,
    UnknownOutcome,
    UploadAddressRefused,
)
from orchestrator.core.printable import printable
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.answers import UNREADABLE, Decoded, Item, MalformedAnswer, Page, decode_answer
from orchestrator.providers.base import Deadline, FileToSend
from orchestrator.providers.failures import Codes, refusal_error
from orchestrator.providers.transport import encoded, reader, sending_before
from orchestrator.providers.transport_errors import unanswered
from orchestrator.providers.upload_address import find_upload_address_fault
from orchestrator.providers.wire import chunks

CALL_SECONDS: Final = 60.0  # a read that takes longer is given up and tried again
ANYTHING: Final = msgspec.json.Decoder()


class Refusal(Exception):
    """An answer that is no success; inside this package only, outside it is a `ProviderError`."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes, path: str) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers
        self.content = content
        self.path = path

    def body(self) -> Mapping[str, Any]:
        """The answer's JSON object; an empty one where it is none."""
        try:
            body = msgspec.json.decode(self.content)
        except UNREADABLE:
            return {}
        return body if isinstance(body, dict) else {}


class Rest:
    """Calls below `base_url` with one key. Every failure leaves as a `ProviderError`."""

    def __init__(
        self, http: httpx2.AsyncClient, base_url: str, *, key: Secret, account: str, redact: Redactor, codes: Codes
    ) -> None:
        self._http = http
        self._read = reader(http)
        self._base_url = encoded(base_url)
        self._headers = {"authorization": f"Bearer {key.reveal()}"}
        self._account = account
        self._redact = redact
        self._codes = codes

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Calls that may be repeated."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                yield
        except (Refusal, httpx2.HTTPError, OSError, *UNREADABLE) as error:
            raise self._translate(error) from error

    @asynccontextmanager
    async def creating(self, deadline: Deadline) -> AsyncIterator[None]:
        """Calls that cost or create something: each sent before the deadline, and once."""
        try:
            with sending_before(deadline):
                async with asyncio.timeout(max(deadline.left, 0)):
                    yield
        except (Refusal, httpx2.HTTPError, OSError, *UNREADABLE) as error:
            known = self._translate(error)
            if isinstance(known, ProviderUnavailable) and not isinstance(error, httpx2.ConnectError):
                raise UnknownOutcome(
                    f"the answer was lost: {known.message}", account=self._account, request_id=known.request_id
                ) from error
            raise known from error

    async def get(self, path: str, **query: str) -> Any:
        """The JSON of a GET, whatever it is."""
        return await self.get_decoded(ANYTHING, path, **query)

    async def get_decoded(self, decoder: msgspec.json.Decoder[Decoded], path: str, **query: str) -> Decoded:
        """The JSON of a GET as what was asked for. Raises MalformedAnswer for anything else."""
        where = self._base_url + quote(path, safe="/:")
        answer = await self._read(f"{where}?{urlencode(query)}" if query else where, self._headers)
        if answer.status != httpx2.codes.OK:  # also another success: part of a list, say, is not the list
            raise Refusal(answer.status, answer.headers, answer.content, path)
        return decode_answer(decoder, answer.content, path, self._redact)

    async def list_items(self, decoder: msgspec.json.Decoder[Page[Item]], path: str) -> list[Item]:
        """Every item of a list that this API gives in one page. Raises MalformedAnswer when there is another."""
        page = await self.get_decoded(decoder, path)
        if page.has_more:
            raise MalformedAnswer(f"the list {path} has more than one page, which this version cannot read")
        return page.data

    async def post(self, path: str, body: Mapping[str, Any], **query: str) -> Any:
        """The JSON of the answer to a POST of JSON, whatever it is."""
        return await self.post_decoded(ANYTHING, path, body, **query)

    async def post_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], path: str, body: Mapping[str, Any], **query: str
    ) -> Decoded:
        """The JSON of the answer to a POST of JSON as what was asked for. Raises MalformedAnswer."""
        return await self.send_decoded(decoder, "POST", path, json=body, params=query or None)

    async def send_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], method: str, path: str, **options: Any
    ) -> Decoded:
        """One request, and the JSON of its answer as what was asked for. Raises MalformedAnswer."""
        return decode_answer(decoder, (await self.send(method, path, **options)).content, path, self._redact)

    async def send(self, method: str, path: str, *, expect: int | None = None, **options: Any) -> httpx2.Response:
        """One request. Raises Refusal for an answer that is neither a success nor the one expected."""
        response = await self._http.request(method, self._base_url + path, headers=self._headers, **options)
        if not response.is_success and response.status_code != expect:
            raise Refusal(response.status_code, response.headers, response.content, path)
        return response

    async def put_file(self, url: str, wanted: FileToSend, headers: Mapping[str, str] | None = None) -> None:
        """Send the file to an address the provider signed. The key does not go there. Raises UploadAddressRefused."""
        if fault := find_upload_address_fault(url, self._base_url):
            text = self._redact.cut(printable(fault), MESSAGE_LIMIT)
            raise UploadAddressRefused(f"the provider's upload address {text}", account=self._account)
        sized = {"content-length": str(wanted.wire_bytes), **(headers or {})}
        try:
            response = await self._http.put(url, content=chunks(wanted), headers=sized, timeout=None)
        except httpx2.InvalidURL as error:  # no HTTPError, and so nobody's who handles those
            raise ValueError(f"the provider's upload address is not a URL: {error}") from error
        if not response.is_success:
            raise Refusal(response.status_code, response.headers, response.content, urlsplit(url).path)

    def _translate(self, error: Exception) -> ProviderError:
        """Every failure as an error of ours."""
        if isinstance(error, MalformedAnswer):
            return ProviderUnavailable(str(error), account=self._account)
        if not isinstance(error, Refusal):
            return unanswered(error, self._account, self._redact)
        return refusal_error(
            error.status,
            error.headers,
            error.content,
            error.path,
            account=self._account,
            codes=self._codes,
            redact=self._redact,
        )


def epoch(text: object) -> float | None:
    """Epoch seconds of an ISO 8601 time; None for anything else, because it only informs."""
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) and text else None
    except (ValueError, OverflowError, OSError):
        return None
