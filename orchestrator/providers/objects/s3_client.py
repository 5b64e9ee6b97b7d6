"""Signed requests to Amazon S3's REST API.

Objects are addressed by path (https://HOST/BUCKET/NAME): that works at S3, also with a dot in the bucket's name, and
at every other server of its API.
"""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from typing import Any, Final

import httpx2

from orchestrator.core.errors import AuthenticationFailed, ProviderUnavailable, RequestRejected
from orchestrator.core.secret import Redactor
from orchestrator.providers.aws_signature import EMPTY_SHA256, AwsSigner
from orchestrator.providers.http.api_client import ApiClient, UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.status_errors import ErrorCodes

ERROR_CODES: Final[ErrorCodes] = {
    "InvalidAccessKeyId": AuthenticationFailed,
    "SignatureDoesNotMatch": AuthenticationFailed,
    "ExpiredToken": AuthenticationFailed,
    "InvalidToken": AuthenticationFailed,
    "RequestTimeTooSkewed": AuthenticationFailed,
    "RequestTimeout": ProviderUnavailable,
    "NoSuchBucket": RequestRejected,
}
ACCESS_DENIED_TEXT: Final = (
    "access denied; the key needs s3:ListBucket on the bucket, and s3:GetObject and s3:PutObject on its objects"
)


class S3Client(ApiClient):
    """Signed requests to one bucket."""

    __slots__ = ("_bucket", "_signer")

    def __init__(self, http: HttpClient, storage_url: str, bucket: str, signer: AwsSigner, redact: Redactor) -> None:
        super().__init__(http, storage_url, account_name=signer.account, redact=redact, error_codes=ERROR_CODES)
        self._bucket = bucket
        self._signer = signer

    @property
    def account_name(self) -> str:
        """The account whose key signs the requests."""
        return self._account_name

    async def send(
        self,
        method: str,
        name: str,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] = b"",
        length: int | None = None,
        payload_sha256: str | None = None,
    ) -> HttpResponse:
        """Send one request about an object. A content that is a stream needs its length and its SHA-256 in hex."""
        url = f"{self._base_url}/{self._bucket}/{name}{query}"
        if isinstance(content, bytes):
            length, payload_sha256 = len(content), sha256(content).hexdigest()
        signed = self._signer.sign(method, url, headers or {}, payload_sha256 or EMPTY_SHA256)
        sized = {**signed, "content-length": str(length)} if method in ("PUT", "POST") else signed
        body: dict[str, Any] = {"content": content} if length else {}
        response = await self._http.send(method, url, sized, timeout=None, **body)
        # Completing an upload takes so long that the status is sent before the outcome is known.
        if not response.is_success or b"<Error>" in response.content[:200]:
            raise self._to_unsuccessful(response, name)
        return response

    def _to_unsuccessful(self, response: HttpResponse, name: str) -> UnsuccessfulResponse:
        """Return the refusal with its XML as JSON, which is how errors are read."""
        code = find_xml_text(response.content, "Code")
        message = find_xml_text(response.content, "Message")
        status = response.status if not response.is_success else httpx2.codes.INTERNAL_SERVER_ERROR
        region = response.headers.get("x-amz-bucket-region", self._signer.region)
        if region != self._signer.region:
            status, code = httpx2.codes.BAD_REQUEST, "WrongRegion"
            message = f"the bucket {self._bucket} is in {region}, and the account's region is {self._signer.region}"
        if status == httpx2.codes.FORBIDDEN and code in (None, "AccessDenied"):
            message = ACCESS_DENIED_TEXT
        refusal = UnsuccessfulResponse(status, response.headers, response.content, f"/{self._bucket}/{name}")
        return refusal.with_code(code, message) if code or message else refusal


def find_xml_text(content: bytes | str, tag: str) -> str | None:
    """Return the text of the first element with this tag."""
    text = content if isinstance(content, str) else content[:20_000].decode("utf-8", "replace")
    found = re.search(rf"<{tag}>([^<]*)</{tag}>", text)
    return html.unescape(found[1]) if found else None
