"""Azure's deployments of fine-tuned models.

A PUT under a name that exists changes that deployment, whoever made it. So the name is read immediately before each
create, and a deployment is ours only if its tags carry our tag and it serves our model.

Azure allows one operation at a time in a resource. A conflict is reported at once (409), or late: the create was
accepted, and the deployment is `Failed`. The reason is then only in the operation that the acceptance named, so its
address is kept in memory; after a restart the reason of such a failure is unknown.

Source: Microsoft's documentation and its SDK azure-mgmt-cognitiveservices 14.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.core.account import Account
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_spec import SECONDS_PER_HOUR, DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import DeploymentNameTaken, RemoteNotFound
from orchestrator.core.providers import find_call_url
from orchestrator.core.structs import replace
from orchestrator.providers.azure.resource_manager import CONFLICT_CODES, QUOTA_CODE, QUOTA_HINT, ResourceManager
from orchestrator.providers.azure.responses import (
    DEPLOYMENT_DECODER,
    DEPLOYMENT_PAGE_DECODER,
    MODEL_PAGE_DECODER,
    OPERATION_DECODER,
    AzureDeployment,
    AzureListedModel,
    AzureOperation,
)
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentSearch
from orchestrator.providers.deployment_names import parse_deployment_name
from orchestrator.providers.http.response_decoder import check_id, text_or_none
from orchestrator.providers.http.rest_client import RestClient, epoch_from_iso
from orchestrator.providers.http.status_errors import parse_request_id

DEPLOYMENTS_PATH: Final = "/deployments"
TAG_NAME: Final = "orchestrator-tag"
STOP_TAG_NAME: Final = "orchestrator-stop-at"
DEVELOPER_SKU: Final = "developertier"
STANDARD_SKUS: Final[Mapping[str, str]] = {"standard": "Standard", "globalstandard": "GlobalStandard"}
DEVELOPER_LIFETIME_SECONDS: Final = 24 * SECONDS_PER_HOUR
DEFAULT_CAPACITY: Final[Mapping[DeploymentKind, int]] = {DeploymentKind.TOKEN: 50, DeploymentKind.HOUR: 10}
"""In thousands of tokens a minute. 1 is the smallest, and too little for the questions of a comparison."""
MODEL_FORMAT: Final = "OpenAI"
MODEL_VERSION: Final = "1"  # of a fine-tuned model
MAX_OPERATIONS: Final = 10_000

STATUS_BY_STATE: Final[Mapping[str, RemoteDeploymentStatus]] = {
    "accepted": RemoteDeploymentStatus.CREATING,
    "creating": RemoteDeploymentStatus.CREATING,
    "moving": RemoteDeploymentStatus.CREATING,
    "succeeded": RemoteDeploymentStatus.RUNNING,
    "deleting": RemoteDeploymentStatus.STOPPING,
    "disabled": RemoteDeploymentStatus.STOPPED,
    "failed": RemoteDeploymentStatus.FAILED,
    "canceled": RemoteDeploymentStatus.FAILED,
}
NO_HOURLY_PRICE: Final = "Developer tier: tokens only"
UNKNOWN_PRICE: Final = "not reported by Azure's API: see the price page"

Operations = MutableMapping[str, str]
"""The addresses of the operations that were accepted, by the path of the deployment."""


class AzureDeployments:
    """The deployments of one resource."""

    def __init__(self, account: Account, manager: ResourceManager, operations: Operations) -> None:
        self._account = account
        self._manager = manager
        self._operations = operations

    async def list_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the types of deployments that the resource lists for the base model; None if it does not list it."""
        models = await self._manager.list_items(MODEL_PAGE_DECODER, "/models")
        named = [model for model in models if _is_named(model, base_model)]
        skus = {name for model in named for name in _list_sku_names(model)}
        return _build_options(skus) if skus else None

    async def find(self, order: DeploymentOrder) -> DeploymentSearch:
        """Return those with the order's tag from the list, and the one with its name, which the list may lack yet."""
        listed = await self._list()
        found = [self._to_remote(each, order.model) for each in listed if _get_tags(each).get(TAG_NAME) == order.tag]
        return DeploymentSearch(tuple(found), await self._find_named(order))

    async def create(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        """Read the name, then send the PUT. Raises DeploymentNameTaken for a deployment that is not the order's."""
        named = await self._find_named(order)
        if named is not None:
            if (named.tag, named.model) != (order.tag, order.model):
                raise DeploymentNameTaken(
                    f"the deployment {named.id} of the resource {self._manager.resource.name} serves "
                    f"{named.model or 'an unknown model'} and does not carry the tag {order.tag}",
                    account=self._account.name,
                )
            return named
        path = self._manager.resource.path + _format_path(order.name)

        async def send(client: RestClient, query: Mapping[str, str]) -> RemoteDeployment:
            async with client.write_call(deadline):
                answer = await client.send("PUT", path, json=_build_body(order), params=dict(query))
                made = client.decode(DEPLOYMENT_DECODER, answer.content, path)
                check_id(order.name, made.name, path)
                self._keep_operation(path, answer.headers)
                return self._to_remote(made, order.model, parse_request_id(answer.headers))

        return await self._manager.call(send)

    async def get(self, name: str) -> RemoteDeployment:
        """Return a deployment, and where it has failed also why, as far as that is known."""
        remote = self._to_remote(await self._read(name))
        if remote.status is RemoteDeploymentStatus.FAILED:
            return await self._explain_failure(remote)
        return remote

    async def remove(self, name: str) -> None:
        """Delete a deployment; one that does not exist is no error."""

        async def send(client: RestClient, query: Mapping[str, str]) -> None:
            async with client.read_call():
                path = self._manager.resource.path + _format_path(name)
                await client.send("DELETE", path, params=dict(query))

        with suppress(RemoteNotFound):
            await self._manager.call(send)
        self._operations.pop(self._manager.resource.path + _format_path(name), None)

    async def list_own(self) -> list[RemoteDeployment]:
        """Return every deployment that carries a tag of this program."""
        return [self._to_remote(each) for each in await self._list() if TAG_NAME in _get_tags(each)]

    async def _list(self) -> list[AzureDeployment]:
        return await self._manager.list_items(DEPLOYMENT_PAGE_DECODER, DEPLOYMENTS_PATH)

    async def _read(self, name: str) -> AzureDeployment:
        path = _format_path(name)
        return await self._manager.get(DEPLOYMENT_DECODER, path, lambda found: check_id(name, found.name, path))

    async def _find_named(self, order: DeploymentOrder) -> RemoteDeployment | None:
        try:
            return self._to_remote(await self._read(order.name), order.model)
        except RemoteNotFound:
            return None

    def _keep_operation(self, path: str, headers: Mapping[str, str]) -> None:
        address = headers.get("azure-asyncoperation")
        if address and len(self._operations) < MAX_OPERATIONS:
            self._operations[path] = address

    async def _read_operation(self, address: str) -> AzureOperation | None:
        return await self._manager.read_operation(OPERATION_DECODER, address)

    async def _explain_failure(self, remote: RemoteDeployment) -> RemoteDeployment:
        address = self._operations.get(self._manager.resource.path + _format_path(remote.id))
        try:
            operation = await self._read_operation(address) if address else None
        except RemoteNotFound:  # the resource manager keeps operations for some hours
            operation = None
        if operation is None or operation.error is None:
            return remote
        code, message = text_or_none(operation.error.code), text_or_none(operation.error.message)
        text = ": ".join(part for part in (code, message) if part)
        if code == QUOTA_CODE:
            text += f" {QUOTA_HINT}"
        return _with_failure(remote, text or None, is_conflict=code in CONFLICT_CODES)

    def _to_remote(
        self, found: AzureDeployment, expected_model: str = "", request_id: str | None = None
    ) -> RemoteDeployment:
        tags, sku = _get_tags(found), _get_sku_name(found.sku).lower()
        state, model = found.properties.provisioning_state, found.properties.model.name
        created_at = epoch_from_iso(_get_dict(found.system_data).get("createdAt"))
        is_developer = sku == DEVELOPER_SKU
        return RemoteDeployment(
            id=found.name,
            status=STATUS_BY_STATE.get(state.lower(), RemoteDeploymentStatus.UNKNOWN),
            raw_status=state,
            model=expected_model if model.lower() == expected_model.lower() else model,
            # A tag with an odd value is still ours, and the name carries it, too.
            tag=text_or_none(tags.get(TAG_NAME)) or (parse_deployment_name(found.name) if TAG_NAME in tags else None),
            model_string=found.name,
            base_url=find_call_url(self._account),
            usd_per_hour=0.0 if is_developer else None,
            price_source=NO_HOURLY_PRICE if is_developer else UNKNOWN_PRICE,
            created_at=created_at,
            expires_at=created_at + DEVELOPER_LIFETIME_SECONDS if is_developer and created_at is not None else None,
            stop_at=epoch_from_iso(tags.get(STOP_TAG_NAME)),
            request_id=request_id,
        )


def _format_path(name: str) -> str:
    return f"{DEPLOYMENTS_PATH}/{name}"


def _build_body(order: DeploymentOrder) -> dict[str, Any]:
    stop_at = datetime.fromtimestamp(int(order.expires_at), UTC).isoformat()
    return {
        "sku": {"name": _get_sku(order.spec), "capacity": order.spec.capacity or DEFAULT_CAPACITY[order.spec.kind]},
        "tags": {TAG_NAME: order.tag, STOP_TAG_NAME: stop_at},
        "properties": {"model": {"format": MODEL_FORMAT, "name": order.model, "version": MODEL_VERSION}},
    }


def _get_sku(spec: DeploymentSpec) -> str:
    """Return the type of deployment. With a price per hour it is `config`, which the accounts file has checked."""
    return DEVELOPER_SKU if spec.kind is DeploymentKind.TOKEN else (spec.config or STANDARD_SKUS["standard"])


def _with_failure(remote: RemoteDeployment, message: str | None, *, is_conflict: bool) -> RemoteDeployment:
    return replace(remote, message=message, failed_by_conflict=is_conflict)


def _is_named(model: AzureListedModel, base_model: str) -> bool:
    """Return whether a listed model is the base model, whose id for a training may end with the version."""
    names = {model.name, f"{model.name}-{model.version}"} if model.version else {model.name}
    return base_model.lower() in {name.lower() for name in names}


def _list_sku_names(model: AzureListedModel) -> list[str]:
    skus = model.skus if isinstance(model.skus, list) else []
    return [name.lower() for sku in skus if (name := _get_sku_name(sku))]


def _build_options(skus: Iterable[str]) -> list[DeploymentOption]:
    """Build the options of the types that this program uses; none of provisioned throughput."""
    known = set(skus)
    options = []
    if DEVELOPER_SKU in known:
        price = DeploymentPrice(kind=DeploymentKind.TOKEN, usd_per_hour=0.0, source=NO_HOURLY_PRICE)
        options.append(DeploymentOption(price=price))
    for sku, config in STANDARD_SKUS.items():
        if sku in known:
            price = DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=None, source=UNKNOWN_PRICE)
            options.append(DeploymentOption(price=price, config=config))
    return options


def _get_sku_name(sku: object) -> str:
    return text_or_none(_get_dict(sku).get("name")) or ""


def _get_tags(found: AzureDeployment) -> dict[str, Any]:
    return _get_dict(found.tags)


def _get_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
