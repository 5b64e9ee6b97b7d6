"""Signed requests of JSON to Bedrock's control plane."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx2
import msgspec

from orchestrator.core.errors import (
    AuthenticationFailed,
    DeploymentNotReady,
    JobLimitReached,
    ProviderUnavailable,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
)
from orchestrator.core.secret import Redactor
from orchestrator.providers.aws_signature import AwsSigner
from orchestrator.providers.http.api_client import ApiClient, UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.response_decoder import Decoded, name_or_none, text_or_none
from orchestrator.providers.http.status_errors import ErrorCodes

ERROR_CODES: Final[ErrorCodes] = {
    "UnrecognizedClientException": AuthenticationFailed,
    "InvalidSignatureException": AuthenticationFailed,
    "ExpiredTokenException": AuthenticationFailed,
    "MissingAuthenticationTokenException": AuthenticationFailed,
    "IncompleteSignatureException": AuthenticationFailed,
    "ServiceQuotaExceededException": JobLimitReached,
    "ThrottlingException": RateLimited,
    "ResourceNotFoundException": RemoteNotFound,
    "ConflictException": RequestRejected,
    "InternalServerException": ProviderUnavailable,
    "ModelNotReadyException": DeploymentNotReady,
    "ModelErrorException": ProviderUnavailable,
}


class BedrockClient(ApiClient):
    """Requests with one account's access key. Paths are percent-encoded by the caller: an ARN has slashes."""

    __slots__ = ("_signer",)

    def __init__(self, http: HttpClient, base_url: str, signer: AwsSigner, redact: Redactor) -> None:
        super().__init__(http, base_url, account_name=signer.account, redact=redact, error_codes=ERROR_CODES)
        self._signer = signer

    async def get(self, path: str, **query: str) -> HttpResponse:
        """Send a signed GET. Raises UnsuccessfulResponse."""
        url_path = f"{path}?{urlencode(query)}" if query else path
        response = await self._send("GET", url_path, b"")
        if response.status != httpx2.codes.OK:  # 206, for example, is a success, but part of a list is not the list
            raise UnsuccessfulResponse(response.status, response.headers, response.content, path)
        return response

    async def post_decoded(
        self, decoder: msgspec.json.Decoder[Decoded], path: str, body: Mapping[str, Any]
    ) -> Decoded:
        """Send a POST of JSON and decode the response. Raises UnsuccessfulResponse and MalformedResponse."""
        return self.decode(decoder, (await self.post(path, body)).content, path)

    async def post(self, path: str, body: Mapping[str, Any]) -> HttpResponse:
        """Send a POST of JSON. Raises UnsuccessfulResponse."""
        return await self._send("POST", path, msgspec.json.encode(body))

    async def converse(self, model: str, body: Mapping[str, Any]) -> HttpResponse:
        """Send one Converse request to a deployment, named by its ARN. Raises UnsuccessfulResponse."""
        return await self.post(f"/model/{quote(model, safe='')}/converse", body)

    async def delete(self, path: str) -> None:
        """Send a DELETE. Raises UnsuccessfulResponse."""
        await self._send("DELETE", path, b"")

    async def _send(self, method: str, path: str, content: bytes) -> HttpResponse:
        url = self._base_url + path
        headers = {"content-type": "application/json"} if content else {}
        signed = self._signer.sign(method, url, headers, sha256(content).hexdigest())
        options: dict[str, Any] = {"content": content} if content else {}
        response = await self._http.send(method, url, signed, **options)
        if not response.is_success:
            raise _to_unsuccessful(response, path.partition("?")[0])
        return response


def _to_unsuccessful(response: HttpResponse, path: str) -> UnsuccessfulResponse:
    """Return the refusal with its code where errors are read. AWS has it in a header or as `__type`."""
    refusal = UnsuccessfulResponse(response.status, response.headers, response.content, path)
    body = refusal.parse_body()
    shown = response.headers.get("x-amzn-errortype") or name_or_none(body.get("__type")) or ""
    code = shown.partition(":")[0].rpartition("#")[2]  # of NAMESPACE#CODE:ADDRESS
    if not code:
        return refusal
    return refusal.with_code(code, text_or_none(body.get("message")) or text_or_none(body.get("Message")))
