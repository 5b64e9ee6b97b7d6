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
    MAX_MESSAGE_LENGTH,
    ProviderError,
    ProviderUnavailable,
    UnknownOutcome,
    UploadAddressRefused,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.http.client import HttpClient, encode_base_url
from orchestrator.providers.http.deadline import send_deadline
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.response_decoder import (
    DECODE_ERRORS,
    Decoded,
    Item,
    ListPage,
    MalformedResponse,
    decode_response,
)
from orchestrator.providers.http.status_errors import ErrorCodes, provider_error_from_response
from orchestrator.providers.http.transport_errors import provider_error_from_transport
from orchestrator.providers.http.upload_address import find_upload_address_problem
from orchestrator.providers.upload_stream import iter_chunks

READ_CALL_TIMEOUT_SECONDS: Final = 60.0  # a read that takes longer is given up and tried again
JSON_DECODER: Final = msgspec.json.Decoder()


class UnsuccessfulResponse(Exception):
    """An answer that is no success; inside this package only, outside it is a `ProviderError`."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes, path: str) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers
        self.content = content
        self.path = path

    def parse_body(self) -> Mapping[str, Any]:
        """The answer's JSON object; an empty one where it is none."""
        try:
            body = msgspec.json.decode(self.content)
        except DECODE_ERRORS:
            return {}
        return body if isinstance(body, dict) else {}


class RestClient:
    """Calls below `base_url` with one key. Every failure leaves as a `ProviderError`."""

    def __init__(
        self,
        http: HttpClient,
        base_url: str,
        *,
        key: Secret,
        account: str,
        redact: Redactor,
        error_codes: ErrorCodes,
    ) -> None:
        self._http = http
        self._base_url = encode_base_url(base_url)
        self._headers = {"authorization": f"Bearer {key.reveal()}"}
        self._account = account
        self._redact = redact
        self._error_codes = error_codes

    @asynccontextmanager
    async def read_call(self) -> AsyncIterator[None]:
        """Calls that may be repeated."""
        try:
            async with asyncio.timeout(READ_CALL_TIMEOUT_SECONDS):
                yield
        except (UnsuccessfulResponse, httpx2.HTTPError, OSError, *DECODE_ERRORS) as error:
            raise self._to_provider_error(error) from error

    @asynccontextmanager
    async def write_call(self, deadline: Deadline) -> AsyncIterator[None]:
        """Calls that cost or create something: each sent before the deadline, and once."""
        try:
            with send_deadline(deadline):
                async with asyncio.timeout(max(deadline.seconds_left, 0)):
                    yield
        except (UnsuccessfulResponse, httpx2.HTTPError, OSError, *DECODE_ERRORS) as error:
            known = self._to_provider_error(error)
            if isinstance(known, ProviderUnavailable) and not isinstance(error, httpx2.ConnectError):
                raise UnknownOutcome(
                    f"the answer was lost: {known.message}", account=self._account, request_id=known.request_id
                ) from error
            raise known from error

    async def get_json(self, path: str, **query: str) -> Any:
        """The JSON of a GET, whatever it is."""
        return await self.get_decoded(JSON_DECODER, path, **query)

    async def get_decoded(self, decoder: msgspec.json.Decoder[Decoded], path: str, **query: str) -> Decoded:
        """The JSON of a GET as what was asked for. Raises MalformedResponse for anything else."""
        where = self._base_url + quote(path, safe="/:")
        answer = await self._http.get(f"{where}?{urlencode(query)}" if query else where, self._headers)
        if answer.status != httpx2.codes.OK:  # also another success: part of a list, say, is not the list
            raise UnsuccessfulResponse(answer.status, answer.headers, answer.content, path)
        return decode_response(decoder, answer.content, path, self._redact)

    async def list_items(self, decoder: msgspec.json.Decoder[ListPage[Item]], path: str) -> list[Item]:
        """Every item of a list that this API gives in one page. Raises MalformedResponse when there is another."""
        page = await self.get_decoded(decoder, path)
        if page.has_more:
            raise MalformedResponse(f"the list {path} has more than one page, which this version cannot read")
        return page.data

    async def post_json(self, path: str, body: Mapping[str, Any], **query: str) -> Any:
        """The JSON of the answer to a POST of JSON, whatever it is."""
        return await self.post_decoded(JSON_DECODER, path, body, **query)

    async def post_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], path: str, body: Mapping[str, Any], **query: str
    ) -> Decoded:
        """The JSON of the answer to a POST of JSON as what was asked for. Raises MalformedResponse."""
        return await self.send_decoded(decoder, "POST", path, json=body, params=query or None)

    async def send_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], method: str, path: str, **options: Any
    ) -> Decoded:
        """One request, and the JSON of its answer as what was asked for. Raises MalformedResponse."""
        return decode_response(decoder, (await self.send(method, path, **options)).content, path, self._redact)

    async def send(
        self, method: str, path: str, *, expected_status: int | None = None, **options: Any
    ) -> HttpResponse:
        """Send one request. Raises UnsuccessfulResponse unless the status is a success or the expected one."""
        response = await self._http.send(method, self._base_url + path, self._headers, **options)
        if not response.is_success and response.status != expected_status:
            raise UnsuccessfulResponse(response.status, response.headers, response.content, path)
        return response

    async def put_file(self, url: str, dataset_file: DatasetFile, headers: Mapping[str, str] | None = None) -> None:
        """Send the file to an address the provider signed. The key does not go there. Raises UploadAddressRefused."""
        if fault := find_upload_address_problem(url, self._base_url):
            text = self._redact.truncate(sanitize_line(fault), MAX_MESSAGE_LENGTH)
            raise UploadAddressRefused(f"the provider's upload address {text}", account=self._account)
        sized = {"content-length": str(dataset_file.wire_bytes), **(headers or {})}
        try:
            response = await self._http.send("PUT", url, sized, content=iter_chunks(dataset_file), timeout=None)
        except httpx2.InvalidURL as error:  # no HTTPError, and so nobody's who handles those
            raise ValueError(f"the provider's upload address is not a URL: {error}") from error
        if not response.is_success:
            raise UnsuccessfulResponse(response.status, response.headers, response.content, urlsplit(url).path)

    def _to_provider_error(self, error: Exception) -> ProviderError:
        """Every failure as an error of ours."""
        if isinstance(error, MalformedResponse):
            return ProviderUnavailable(str(error), account=self._account)
        if not isinstance(error, UnsuccessfulResponse):
            return provider_error_from_transport(error, self._account, self._redact)
        return provider_error_from_response(
            error.status,
            error.headers,
            error.content,
            error.path,
            account=self._account,
            error_codes=self._error_codes,
            redact=self._redact,
        )


def epoch_from_iso(text: object) -> float | None:
    """Epoch seconds of an ISO 8601 time; None for anything else, because it only informs."""
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) and text else None
    except (ValueError, OverflowError, OSError):
        return None
