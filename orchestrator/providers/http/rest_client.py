"""The client of one account at a provider whose API is called without an SDK. Nothing is sent twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from orchestrator.core.errors import MAX_MESSAGE_LENGTH, UploadAddressRefused
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.providers.base import DatasetFile
from orchestrator.providers.http.api_client import ApiClient, UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.response_decoder import Decoded, Item, ListPage, MalformedResponse
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.http.upload_address import find_upload_address_problem
from orchestrator.providers.upload_stream import iter_chunks

JSON_DECODER: Final = msgspec.json.Decoder()


class RestClient(ApiClient):
    """Requests of JSON and forms with one account's key."""

    __slots__ = ("_headers",)

    def __init__(
        self,
        http: HttpClient,
        base_url: str,
        *,
        key: Secret,
        account: str,
        redact: Redactor,
        error_codes: ErrorCodes,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`headers` are sent with every request besides the key."""
        super().__init__(http, base_url, account_name=account, redact=redact, error_codes=error_codes)
        self._headers = {"authorization": f"Bearer {key.reveal()}", **(headers or {})}

    def _build_read_headers(self) -> Mapping[str, str]:
        return self._headers

    async def get(self, path: str, **query: str) -> HttpResponse:
        """Send a GET to a path, which is percent-encoded here. Raises UnsuccessfulResponse."""
        return await super().get(quote(path, safe="/:"), **query)

    async def get_json(self, path: str, **query: str) -> Any:
        """Send a GET and return the JSON of the response, whatever its shape."""
        return await self.get_decoded(JSON_DECODER, path, **query)

    async def list_items(self, decoder: msgspec.json.Decoder[ListPage[Item]], path: str) -> list[Item]:
        """Return the items of a list that has one page. Raises MalformedResponse when another page is announced."""
        page = await self.get_decoded(decoder, path)
        if page.has_more:
            raise MalformedResponse(f"the list {path} has more than one page, which this version cannot read")
        return page.data

    async def post_json(self, path: str, body: Mapping[str, Any], **query: str) -> Any:
        """Send a POST of JSON and return the JSON of the response, whatever its shape."""
        return await self.post_decoded(JSON_DECODER, path, body, **query)

    async def post_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], path: str, body: Mapping[str, Any], **query: str
    ) -> Decoded:
        """Send a POST of JSON and decode the response. Raises UnsuccessfulResponse and MalformedResponse."""
        return await self.send_decoded(decoder, "POST", path, json=body, params=query or None)

    async def send_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], method: str, path: str, **options: Any
    ) -> Decoded:
        """Send a request and decode the response. Raises UnsuccessfulResponse and MalformedResponse."""
        return self.decode(decoder, (await self.send(method, path, **options)).content, path)

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        expected_status: int | None = None,
        **options: Any,
    ) -> HttpResponse:
        """Send one request. Raises UnsuccessfulResponse unless the status is a success or the expected one."""
        sent = {**self._headers, **headers} if headers else self._headers
        response = await self._http.send(method, self._base_url + path, sent, **options)
        if not response.is_success and response.status != expected_status:
            raise UnsuccessfulResponse(response.status, response.headers, response.content, path)
        return response

    async def put_file(self, url: str, dataset_file: DatasetFile, headers: Mapping[str, str] | None = None) -> None:
        """Send the file to an address that the provider has chosen. Raises UploadAddressRefused."""
        if problem := find_upload_address_problem(url, self._base_url):
            text = self._redact.truncate(sanitize_line(problem), MAX_MESSAGE_LENGTH)
            raise UploadAddressRefused(f"the provider's upload address {text}", account=self._account_name)
        # Without the key: the address carries its own permission, and the storage belongs to somebody else.
        # With a length: the storage refuses chunked bodies, which is what httpx2 makes of a stream without one.
        sized = {"content-length": str(dataset_file.wire_bytes), **(headers or {})}
        try:
            response = await self._http.send("PUT", url, sized, content=iter_chunks(dataset_file), timeout=None)
        except httpx2.InvalidURL as error:  # not an HTTPError: `write_call` would not translate it
            raise ValueError(f"the provider's upload address is not a URL: {error}") from error
        if not response.is_success:
            raise UnsuccessfulResponse(response.status, response.headers, response.content, urlsplit(url).path)


def epoch_from_iso(text: object) -> float | None:
    """Parse an ISO 8601 time to epoch seconds; without a zone it is UTC. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
