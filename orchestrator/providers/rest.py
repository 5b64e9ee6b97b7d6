"""Rest: one account's calls to an API without an SDK of its own here, on the shared client. Nothing is sent twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from orchestrator.core.errors import ProviderError, ProviderUnavailable, UnknownOutcome
from orchestrator.core.loopback import is_loopback
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import Deadline, FileToSend
from orchestrator.providers.failures import Codes, Details, error_class, retry_after
from orchestrator.providers.transport import DeadlinePassed, encoded, reader, sending_before
from orchestrator.providers.transport_errors import unanswered
from orchestrator.providers.wire import chunks

CALL_SECONDS: Final = 60.0  # a read that takes longer is given up and tried again


class Refusal(Exception):
    """An answer that is no success; inside this package only, outside it is a `ProviderError`."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers
        self._content = content

    def body(self) -> Any:
        """The answer's JSON, or an empty object."""
        try:
            return json.loads(self._content)
        except ValueError:
            return {}


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
        except (Refusal, httpx2.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise self._translate(error) from error

    @asynccontextmanager
    async def creating(self, deadline: Deadline) -> AsyncIterator[None]:
        """Calls that cost or create something: each sent before the deadline, and once."""
        try:
            with sending_before(deadline):
                async with asyncio.timeout(max(deadline.left, 0)):
                    yield
        except (Refusal, httpx2.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            known = self._translate(error)
            if isinstance(known, ProviderUnavailable) and not isinstance(error, DeadlinePassed):
                raise UnknownOutcome(
                    f"the answer was lost: {known.message}", account=self._account, request_id=known.request_id
                ) from error
            raise known from error

    async def get(self, path: str, **query: str) -> Any:
        """The JSON of a GET."""
        where = self._base_url + quote(path, safe="/:")
        answer = await self._read(f"{where}?{urlencode(query)}" if query else where, self._headers)
        if not answer.is_success:
            raise Refusal(answer.status, answer.headers, answer.content)
        return json.loads(answer.content)

    async def post(self, path: str, body: Mapping[str, Any], **query: str) -> Any:
        """The JSON of a POST of JSON."""
        return (await self.send("POST", path, json=body, params=query or None)).json()

    async def send(self, method: str, path: str, *, expect: int | None = None, **options: Any) -> httpx2.Response:
        """One request. Raises Refusal for an answer that is neither a success nor the one expected."""
        response = await self._http.request(method, self._base_url + path, headers=self._headers, **options)
        if not response.is_success and response.status_code != expect:
            raise Refusal(response.status_code, response.headers, response.content)
        return response

    async def put_file(self, url: str, wanted: FileToSend, headers: Mapping[str, str] | None = None) -> None:
        """Send the file to an address the provider signed. The key does not go there."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError(f"the provider's upload address is not https: {parts.scheme}://{parts.hostname}")
        sized = {"content-length": str(wanted.wire_bytes), **(headers or {})}
        response = await self._http.put(url, content=chunks(wanted), headers=sized, timeout=None)
        if not response.is_success:
            raise Refusal(response.status_code, response.headers, response.content)

    def _translate(self, error: Exception) -> ProviderError:
        """Every failure as an error of ours."""
        if not isinstance(error, Refusal):
            return unanswered(error, self._account, self._redact)
        code, said = _explain(error.body())
        details: Details = {
            "account": self._account,
            "request_id": error.headers.get("x-request-id"),
            "code": code,
            "retry_after": retry_after(error.headers),
        }
        message = ": ".join(filter(None, (f"{error.status} {code or ''}".strip(), said)))
        return error_class(error.status, code, self._codes)(self._redact(message), **details)


def _explain(body: Any) -> tuple[str | None, str]:
    """Code and message of an error in either of the two usual shapes."""
    told = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(told, dict):
        return None, str(told)
    code = told.get("code")
    return (None if code in (None, "") else str(code)), str(told.get("message") or "")


def epoch(text: str | None) -> float | None:
    """Epoch seconds of an ISO 8601 time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
