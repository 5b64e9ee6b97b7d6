"""An account at Azure: OpenAI's API for training and calls, the resource manager for deployments."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.core.account import Account
from orchestrator.core.deployment.cost import DeploymentOption
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import DeploymentNotReady, RequestRejected
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.azure.deployments import AzureDeployments, Operations
from orchestrator.providers.azure.management_token import ManagementToken
from orchestrator.providers.azure.resource_manager import AzureResource, ResourceManager
from orchestrator.providers.base import (
    Deadline,
    DeploymentOrder,
    DeploymentSearch,
    ProviderFactory,
    SecretLoader,
)
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.openai.openai_provider import OpenAIProvider
from orchestrator.providers.openai.openai_provider import build_provider_factory as build_openai_factory

CALL_PATH: Final = "/chat/completions"
CALL_ERROR_CODES: Final[ErrorCodes] = {"404": DeploymentNotReady, "DeploymentNotFound": DeploymentNotReady}
"""For up to five minutes after `Succeeded` the deployment is not found where it is called."""
OUTPUT_LIMITS: Final = ({"max_completion_tokens": 1}, {"max_tokens": 1}, {"max_completion_tokens": 1024})
"""The first that is accepted is used: some models know only the old name, and reasoning models need some tokens."""


class _Answer(msgspec.Struct):
    """An answer of the model."""

    choices: list[Any]


_ANSWER_DECODER: Final = msgspec.json.Decoder(_Answer)


def build_provider_factory(http: HttpClient, redact: Redactor, load_secret: SecretLoader) -> ProviderFactory:
    """Build the factory for accounts at Azure. Those with the same `management_key` share its token."""
    connect_trainer = build_openai_factory(http, redact)
    tokens: dict[str, ManagementToken] = {}
    operations: Operations = {}

    def build_deployments(account: Account) -> AzureDeployments | None:
        reference = account.management_key
        if not (reference and account.subscription_id and account.resource_group and account.resource):
            return None
        token = tokens.setdefault(reference, ManagementToken(reference, load_secret))
        resource = AzureResource(account.subscription_id, account.resource_group, account.resource)
        return AzureDeployments(account, ResourceManager(http, account, resource, token, redact), operations)

    def connect(account: Account, key: Secret) -> AzureProvider:
        caller = RestClient(
            http,
            account.base_url or "",
            key=key,
            account=account.name,
            redact=redact,
            error_codes=CALL_ERROR_CODES,
        )
        return AzureProvider(connect_trainer(account, key), build_deployments(account), caller)

    return connect


class AzureProvider(OpenAIProvider):
    """One account at Azure. Without the options for deployments it trains, and refuses to deploy."""

    __slots__ = ("_caller", "_optional_deployments")

    def __init__(self, trainer: OpenAIProvider, deployments: AzureDeployments | None, caller: RestClient) -> None:
        super().__init__(trainer._account, trainer._dialect, trainer._client, trainer._md5s)
        self._optional_deployments = deployments
        self._caller = caller

    @property
    def _deployments(self) -> AzureDeployments:
        if self._optional_deployments is None:
            needed = PROVIDERS[self._account.provider].deployment_account_options
            missing = [option for option in needed if getattr(self._account, option) is None]
            raise RequestRejected(
                f"the account cannot deploy: it has no {', '.join(missing)}",
                account=self._account.name,
                hint="Add these options to the account in the accounts file, then request the deployment again.",
            )
        return self._optional_deployments

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        return await self._deployments.list_options(base_model)

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        return await self._deployments.find(order)

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        return await self._deployments.create(order, deadline)

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        return await self._deployments.get(remote_id)

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        """Call it by its name; Azure does not know the id of the model there."""
        refusal: RequestRejected | None = None
        for limit in OUTPUT_LIMITS:
            body = {"model": remote.id, "messages": [{"role": "user", "content": "Hello"}], **limit}
            try:
                async with self._caller.read_call():
                    await self._caller.post_decoded(_ANSWER_DECODER, CALL_PATH, body)
            except RequestRejected as error:
                refusal = refusal or error
            else:
                return
        assert refusal is not None  # the loop has returned unless each call was refused
        raise refusal

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        await self._deployments.remove(remote.id)

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        """Return those of the resource; none for an account that cannot deploy."""
        return [] if self._optional_deployments is None else await self._optional_deployments.list_own()
