"""Bedrock's custom model deployments: a fine-tuned model answers on demand, billed per token and not by the hour.

The name of a deployment is the service's and unique in account and region, and a deployment is read by its name: so
it is found again exactly. Provisioned throughput is not used: with a commitment it cannot be deleted before its end.

Source: the service models of botocore 1.44 and the vendor's documentation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

import msgspec

from orchestrator.core.account import Account
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment import NAME_PREFIX
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import (
    DeploymentNameTaken,
    DeploymentNotReady,
    ProviderError,
    RemoteNotFound,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.providers import find_call_url
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentSearch
from orchestrator.providers.bedrock.bedrock_client import BedrockClient
from orchestrator.providers.bedrock.mapping import TAG_KEY
from orchestrator.providers.chat.converse_chat import (
    CONVERSE_DECODER,
    SENT_PARAMETERS,
    build_converse_body,
    parse_converse_response,
)
from orchestrator.providers.chat.refused_parameters import ASK_TIMEOUT_SECONDS, ask_without_refused
from orchestrator.providers.deployment_names import format_deployment_note, parse_deployment_name, parse_stop_time
from orchestrator.providers.http.response_decoder import (
    ListLimits,
    RemoteId,
    RemoteIdOrEmpty,
    StatusWord,
    check_id,
    name_or_none,
    text_or_none,
)
from orchestrator.providers.http.rest_client import epoch_from_iso

DEPLOYMENTS_PATH: Final = "/model-customization/custom-model-deployments"
PAGE_SIZE: Final = 1_000
STATUS_BY_WORD: Final[Mapping[str, RemoteDeploymentStatus]] = {
    "Creating": RemoteDeploymentStatus.CREATING,
    "Active": RemoteDeploymentStatus.RUNNING,
    "Failed": RemoteDeploymentStatus.FAILED,
}
CONFLICT_CODE: Final = "ConflictException"
TAKEN_CODES: Final = frozenset({"ValidationException", CONFLICT_CODE})
"""Codes of a refused create that may mean that the name is taken: the text says so, and texts do not decide."""
PRICE_SOURCE: Final = "Bedrock bills deployments on demand by the token"
ONE_TOKEN: Final = {
    "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    "inferenceConfig": {"maxTokens": 1},
}


class BedrockDeploymentCreated(msgspec.Struct, rename="camel"):
    """The response to a create."""

    custom_model_deployment_arn: RemoteId


class BedrockDeployment(msgspec.Struct, rename="camel"):
    """A deployment. While another model is put behind it, `model_arn` is still the old one."""

    custom_model_deployment_arn: RemoteId
    model_deployment_name: RemoteId
    model_arn: RemoteIdOrEmpty = ""
    status: StatusWord = ""
    description: Any = None
    failure_message: Any = None
    created_at: Any = None


class BedrockDeploymentSummary(msgspec.Struct, rename="camel"):
    """A deployment in a list."""

    custom_model_deployment_arn: RemoteId
    custom_model_deployment_name: RemoteId


class BedrockDeploymentPage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One page of deployments. An empty list may have no key, so any unknown key means that this is no list."""

    model_deployment_summaries: list[BedrockDeploymentSummary] = []
    next_token: str | None = None


CREATED_DECODER: Final = msgspec.json.Decoder(BedrockDeploymentCreated, strict=False)
DEPLOYMENT_DECODER: Final = msgspec.json.Decoder(BedrockDeployment, strict=False)
PAGE_DECODER: Final = msgspec.json.Decoder(BedrockDeploymentPage, strict=False)


class BedrockDeployments:
    """The deployments of one AWS account in one region. Their ids are ARNs."""

    def __init__(self, account: Account, client: BedrockClient) -> None:
        self._account = account
        self._client = client

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the only way that is used. Bedrock does not report for which base models and regions it exists."""
        price = DeploymentPrice(kind=DeploymentKind.TOKEN, usd_per_hour=0.0, source=PRICE_SOURCE)
        return [DeploymentOption(price=price)]

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        """Read the deployment with the order's name."""
        try:
            remote = await self.get_deployment(order.name)
        except RemoteNotFound:
            return DeploymentSearch(())
        return DeploymentSearch((remote,) if remote.tag == order.tag else (), remote)

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        body = {
            "modelDeploymentName": order.name,
            "modelArn": order.model,
            "description": format_deployment_note(order),
            "tags": [{"key": TAG_KEY, "value": order.tag}],
            "clientRequestToken": order.name,
        }
        try:
            async with self._client.write_call(deadline):
                created = await self._client.post_decoded(CREATED_DECODER, DEPLOYMENTS_PATH, body)
        except RequestRejected as refusal:
            if refusal.code not in TAKEN_CODES:
                raise
            existing = await self._find_existing_deployment(order)
            if existing is None:
                raise
            return existing
        return self._build_remote_deployment(  # the response has nothing but the ARN
            created.custom_model_deployment_arn,
            RemoteDeploymentStatus.CREATING,
            raw_status="Creating",
            model=order.model,
            tag=order.tag,
        )

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        """Return a deployment by its ARN or its name."""
        path = f"{DEPLOYMENTS_PATH}/{quote(remote_id, safe='')}"
        async with self._client.read_call():
            found = await self._client.get_decoded(DEPLOYMENT_DECODER, path)
            if remote_id != found.model_deployment_name:
                check_id(remote_id, found.custom_model_deployment_arn, path)
        status = STATUS_BY_WORD.get(found.status, RemoteDeploymentStatus.UNKNOWN)
        return self._build_remote_deployment(
            found.custom_model_deployment_arn,
            status,
            raw_status=found.status,
            model=found.model_arn,
            tag=parse_deployment_name(found.model_deployment_name),
            message=text_or_none(found.failure_message),
            created_at=epoch_from_iso(found.created_at),
            stop_at=parse_stop_time(found.description),
        )

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        client = self._client.with_base_url(find_call_url(self._account) or "")
        try:
            async with client.read_call():
                response = await client.converse(remote.id, ONE_TOKEN)
                client.decode(CONVERSE_DECODER, response.content, "/converse")
        except RemoteNotFound as error:  # the control plane decides whether it exists
            raise DeploymentNotReady(
                f"the deployment {remote.id} does not answer yet: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        """Ask a deployment, named by its ARN."""
        client = self._client.with_base_url(address.base_url)

        async def ask_once(without: frozenset[OptionalParameter]) -> ChatReply:
            async with client.read_call(ASK_TIMEOUT_SECONDS):
                response = await client.converse(address.model, build_converse_body(question, without))
                answer = client.decode(CONVERSE_DECODER, response.content, "/converse")
                request_id = name_or_none(response.headers.get("x-amzn-requestid"))
                return parse_converse_response(answer, request_id=request_id, left_out=without)

        return await (ask_once(left_out) if left_out is not None else ask_without_refused(ask_once, SENT_PARAMETERS))

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.delete(f"{DEPLOYMENTS_PATH}/{quote(remote.id, safe='')}")

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        """Read each one that the list has: the list does not show when it was to be stopped."""
        own: list[RemoteDeployment] = []
        for summary in await self._list_deployments():
            if parse_deployment_name(summary.custom_model_deployment_name):
                with suppress(RemoteNotFound):
                    own.append(await self.get_deployment(summary.custom_model_deployment_arn))
        return own

    async def _list_deployments(self) -> list[BedrockDeploymentSummary]:
        limits = ListLimits(DEPLOYMENTS_PATH, asyncio.get_running_loop().time)
        query = {"maxResults": str(PAGE_SIZE), "nameContains": NAME_PREFIX}
        found: list[BedrockDeploymentSummary] = []
        while True:
            async with self._client.read_call(), asyncio.timeout(limits.seconds_left):
                page = await self._client.get_page(limits, PAGE_DECODER, DEPLOYMENTS_PATH, **query)
                found += page.model_deployment_summaries
                if not page.next_token:
                    return found
                limits.count_page(len(page.model_deployment_summaries), page.next_token)
            query["nextToken"] = page.next_token

    async def _find_existing_deployment(self, order: DeploymentOrder) -> RemoteDeployment | None:
        """Return the deployment whose name a refused create may have found taken. Raises DeploymentNameTaken."""
        try:
            remote = (await self.find_deployments(order)).named
        except ProviderError as error:
            raise UnknownOutcome(
                f"the create was refused, and whether the deployment exists cannot be read: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error
        if remote is not None and remote.model != order.model:
            raise DeploymentNameTaken(
                f"the name {order.name} is used by a deployment of {remote.model}", account=self._account.name
            )
        return remote

    def _build_remote_deployment(self, arn: str, status: RemoteDeploymentStatus, **values: Any) -> RemoteDeployment:
        return RemoteDeployment(
            id=arn,
            status=status,
            model_string=arn,
            base_url=find_call_url(self._account),
            usd_per_hour=0.0,
            price_source=PRICE_SOURCE,
            **values,
        )
