"""The client of one Azure resource at the resource manager (ARM), which knows deployments, with a token of its own.

A call that is refused with 401 is sent again once, with a new token: a refused call had no effect, also if it would
have created something. The account's API key is not sent to the resource manager, which would not accept it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from orchestrator.core.account import Account
from orchestrator.core.errors import (
    AccountError,
    AuthenticationFailed,
    JobLimitReached,
    ProviderError,
    RequestRejected,
    TrainingNotAllowed,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import Struct
from orchestrator.providers.azure.management_token import ManagementToken
from orchestrator.providers.azure.responses import AzurePage
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import Item, ListLimits
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.http.status_errors import ErrorCodes

DEFAULT_URL: Final = "https://management.azure.com"
DEFAULT_API_VERSION: Final = "2025-09-01"
CONFLICT_CODES: Final = frozenset({"RequestConflict", "AnotherOperationInProgress"})
"""Another operation of the resource is in progress: Azure allows one at a time."""
QUOTA_CODE: Final = "InsufficientQuota"
WRONG_PLACE_CODES: Final = frozenset(
    {
        "SubscriptionNotFound",
        "InvalidSubscriptionId",
        "ResourceGroupNotFound",
        "ParentResourceNotFound",
    }
)
ERROR_CODES: Final[ErrorCodes] = {
    **dict.fromkeys(CONFLICT_CODES, JobLimitReached),
    **dict.fromkeys(WRONG_PLACE_CODES, AccountError),
    QUOTA_CODE: RequestRejected,
}
CONFLICT_HINT: Final = (
    "No action needed: Azure allows one operation at a time in a resource; the service tries again."
)
QUOTA_HINT: Final = (
    "Lower `capacity` in the deployment's options, remove another deployment of this model, or ask Azure for more "
    "quota; then request the deployment again."
)
REFUSED_KEY_HINT: Final = (
    "Check the account's `management_key`: it must lead to a current token for https://management.azure.com, not to "
    "the API key. Then `orchestrator release` the account."
)
ROLE_HINT: Final = (
    "Give the identity of `management_key` the role Cognitive Services Contributor on the resource, then "
    "`orchestrator release` the account."
)
PLACE_HINT: Final = (
    "Correct `subscription_id`, `resource_group` or `resource` of the account, then `orchestrator release` it."
)

Result = TypeVar("Result")


class AzureResource(Struct, frozen=True):
    """Where the deployments of an account are."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def path(self) -> str:
        """The path of the resource."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.CognitiveServices/accounts/{self.name}"
        )


class ResourceManager:
    """Sends the calls about one resource. Raises only `ProviderError`s, with hints for this service."""

    def __init__(
        self, http: HttpClient, account: Account, resource: AzureResource, token: ManagementToken, redact: Redactor
    ) -> None:
        self.resource = resource
        self._http = http
        self._account = account
        self._token = token
        self._redact = redact
        self._base_url = account.management_url or DEFAULT_URL
        self._query = {"api-version": account.management_api_version or DEFAULT_API_VERSION}

    async def call(self, send: Callable[[RestClient, Mapping[str, str]], Awaitable[Result]]) -> Result:
        """Run calls, which get a client and the query of each request; once more with a new token after a 401."""
        try:
            token = await self._token.get()
            try:
                return await self._send(send, token)
            except AuthenticationFailed:
                renewed = await self._token.renew(token)
                if renewed is None:
                    raise
            return await self._send(send, renewed)
        except ProviderError as error:
            error.account = self._account.name
            error.hint = find_hint(error) or error.hint
            raise

    async def get(self, decoder: msgspec.json.Decoder[Result], path: str, check: Callable[[Result], None]) -> Result:
        """Read something below the resource. `check` raises MalformedResponse if it is about another thing."""

        async def read(client: RestClient, query: Mapping[str, str]) -> Result:
            async with client.read_call():
                found = await client.get_decoded(decoder, self.resource.path + path, **query)
                check(found)
                return found

        return await self.call(read)

    async def read_operation(self, decoder: msgspec.json.Decoder[Result], address: str) -> Result | None:
        """Read an operation at the address that its acceptance named; None if that is not at the resource manager.

        The token must not be sent to another server.
        """
        url, own = urlsplit(address), urlsplit(self._base_url)
        if (url.scheme, url.netloc.lower()) != (own.scheme, own.netloc.lower()):
            return None

        async def read(client: RestClient, query: Mapping[str, str]) -> Result:
            async with client.read_call():
                path = url.path.removeprefix(own.path.rstrip("/"))
                return await client.get_decoded(decoder, path, **{**query, **dict(parse_qsl(url.query))})

        return await self.call(read)

    async def list_items(self, decoder: msgspec.json.Decoder[AzurePage[Item]], path: str) -> list[Item]:
        """Return every item of a list below the resource, to the last page.

        Of the address of the next page only the query is used: the token must not be sent to another server.
        """

        async def read(client: RestClient, query: Mapping[str, str]) -> list[Item]:
            limits = ListLimits(path, asyncio.get_running_loop().time)
            items: list[Item] = []
            current: Mapping[str, str] | None = query
            while current is not None:
                async with client.read_call(), asyncio.timeout(limits.seconds_left):
                    page = await client.get_page(limits, decoder, self.resource.path + path, **current)
                    items += page.value
                    current = None
                    if page.next_link:
                        limits.count_page(len(page.value), page.next_link)
                        current = {**query, **dict(parse_qsl(urlsplit(page.next_link).query))}
            return items

        return await self.call(read)

    async def _send(
        self, send: Callable[[RestClient, Mapping[str, str]], Awaitable[Result]], token: Secret
    ) -> Result:
        name, redact = self._account.name, self._redact
        client = RestClient(
            self._http, self._base_url, key=token, account=name, redact=redact, error_codes=ERROR_CODES
        )
        return await send(client, self._query)


def find_hint(error: ProviderError) -> str | None:
    """Return the next step after an error of the resource manager; None where the usual one fits."""
    if isinstance(error, AuthenticationFailed):
        return REFUSED_KEY_HINT
    if isinstance(error, TrainingNotAllowed):
        return ROLE_HINT
    if error.code in WRONG_PLACE_CODES:
        return PLACE_HINT
    if error.code in CONFLICT_CODES:
        return CONFLICT_HINT
    return QUOTA_HINT if error.code == QUOTA_CODE else None
