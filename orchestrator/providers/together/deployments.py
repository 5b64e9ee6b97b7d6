"""Together's dedicated endpoints, version 2: an endpoint with one deployment of one fine-tuned model.

* The names of both are the service's and carry the tag. A second endpoint with the same name is refused.
* A deployment is called by its complete name, PROJECT/ENDPOINT/DEPLOYMENT, which ignores the traffic split.
* It must be stopped (no replicas) before it can be deleted, and an endpoint must be empty. An update and a deletion
  send the `etag` of what was read, so that a change by another client in between is not overwritten.
* What is deployed is not the model's name but its object in the project, which the fine-tune names.
* Endpoints of version 1 can no longer be created (403, `endpoints_v1_create_access_disabled`) and are not used.

Source: the vendor's documentation and its SDK 3.1.1. An adapter is merged into its base model, never attached.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx2
import msgspec

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.deployment.cost import DeploymentOption
from orchestrator.core.deployment.remote_deployment import (
    RemoteDeployment,
    RemoteDeploymentStatus,
    select_remote_deployment,
)
from orchestrator.core.errors import ProviderUnavailable, RemoteNotFound, RequestRejected
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentSearch
from orchestrator.providers.chat_call import call_chat_model
from orchestrator.providers.deployment_names import parse_deployment_name
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.response_decoder import check_id, count_or_none, text_or_none
from orchestrator.providers.http.rest_client import RestClient, epoch_from_iso
from orchestrator.providers.http.status_errors import REJECTION_STATUSES
from orchestrator.providers.together.deployment_responses import (
    DEPLOYMENT_DECODER,
    DEPLOYMENT_PAGE_DECODER,
    ENDPOINT_DECODER,
    ENDPOINT_PAGE_DECODER,
    TogetherDeployment,
    TogetherEndpoint,
    list_cursor_items,
)
from orchestrator.providers.together.model_objects import ModelObjectFinder, ModelReference, parse_model_reference
from orchestrator.providers.together.responses import IDENTITY_DECODER, TogetherIdentity
from orchestrator.providers.together.serving_options import (
    PRICE_SOURCE,
    ServingOptionReader,
    ServingWay,
    format_price_source,
    select_way,
)

DEFAULT_BASE_URL: Final = PROVIDERS[ProviderName.TOGETHER].default_base_url or ""
DEDICATED_URL: Final = "https://api-inference.together.ai/v1"
"""Where deployments are called; models without a deployment are called at `inference_url` (core/providers.py)."""
STATE_PREFIX: Final = "DEPLOYMENT_STATE_"
STATUS_BY_STATE: Final[Mapping[str, RemoteDeploymentStatus]] = {
    "PROVISIONING": RemoteDeploymentStatus.CREATING,
    "SCALING": RemoteDeploymentStatus.CREATING,
    "READY": RemoteDeploymentStatus.RUNNING,
    "DEGRADED": RemoteDeploymentStatus.DEGRADED,
    "STOPPING": RemoteDeploymentStatus.STOPPING,
    "STOPPED": RemoteDeploymentStatus.STOPPED,
    "FAILED": RemoteDeploymentStatus.FAILED,
}
NOT_RUNNING_STATUSES: Final = frozenset({RemoteDeploymentStatus.STOPPED, RemoteDeploymentStatus.FAILED})
MUST_STOP_STATUSES: Final = frozenset({400, 409, 412})
"""Of the refusal to delete a deployment with replicas, or an endpoint with deployments."""
NO_IDLE_STOP_WARNING: Final = "Together has not kept idle_stop_minutes: it is billed until it is stopped or expires"
NO_PROJECT_HINT: Final = "Set the account's `project` to the id of its project at Together, then request it again."


class TogetherDeployments:
    """The deployments of one account. Their ids are `ENDPOINT_ID/DEPLOYMENT_ID`."""

    def __init__(self, account: Account, client: RestClient, root_client: RestClient) -> None:
        """`client` calls version 1 of the API, `root_client` paths with their version."""
        self._account = account
        self._client = client
        self._root_client = root_client
        self._project = account.project

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the configs of the model. Unknown for a model that the catalogue does not have."""
        reader = ServingOptionReader(self._root_client)
        model = await reader.find_catalog_model(base_model)
        reference = (model.base_model or model.base_model_id) if model else None
        if not reference:
            return None
        ways = await reader.list_ways(await self._get_project(), [reference], model)
        return [way.option for way in ways]

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        """Return the deployments in the endpoint with the order's name. An endpoint without any counts as none."""
        endpoint = await self._find_endpoint(order.name)
        return await self._search(endpoint, order) if endpoint else DeploymentSearch(())

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        """Create the endpoint, unless an earlier create has left it, and its deployment."""
        async with self._root_client.read_call(max(deadline.seconds_left, 0)):
            model, way = await self._choose_way(order)
            known = await self._find_endpoint(order.name)
            if known and (existing := self._select_own(await self._search(known, order), order)):
                return existing
        path = await self._build_path()
        async with self._root_client.write_call(deadline):
            endpoint = known or await self._create_endpoint(order.name)
            try:
                made = await self._root_client.post_decoded(
                    DEPLOYMENT_DECODER, f"{path}/{endpoint.id}/deployments", _build_body(order, model, way)
                )
            except UnsuccessfulResponse as refusal:
                existing = None
                if refusal.status == httpx2.codes.CONFLICT:
                    existing = self._select_own(await self._search(endpoint, order), order)
                elif known is None and refusal.status in REJECTION_STATUSES:
                    with suppress(UnsuccessfulResponse, httpx2.HTTPError, OSError):  # it costs nothing if it stays
                        await self._root_client.send("DELETE", f"{path}/{endpoint.id}")
                if existing is None:
                    raise
                return existing
        return self._describe_created(order, made, endpoint.id, way)

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        endpoint_id, deployment = await self._get_deployment(remote_id)
        return self._to_remote_deployment(deployment, endpoint_id, {})

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        """Call the deployment by its complete name."""
        client = self._client.with_base_url(remote.base_url or self._call_url)
        await call_chat_model(client, remote.model_string or "")

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        """Stop the deployment; delete it and its endpoint once it has stopped."""
        try:
            endpoint_id, deployment = await self._get_deployment(remote.id)
        except RemoteNotFound:
            await self._delete_endpoint(remote.id.partition("/")[0])
            return
        status = _get_status(deployment)
        if status is RemoteDeploymentStatus.STOPPING:
            return
        path = f"{await self._build_path()}/{endpoint_id}/deployments/{deployment.id}"
        if status in NOT_RUNNING_STATUSES and await self._delete(path, endpoint_id, deployment):
            await self._delete_endpoint(endpoint_id)
        elif status is not RemoteDeploymentStatus.STOPPED:
            await self._stop(path, deployment)

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        own = [each for each in await self._list_endpoints() if parse_deployment_name(_get_last_part(each.name))]
        if not own:
            return []
        prices = await ServingOptionReader(self._root_client).list_prices()
        remotes = [
            self._to_remote_deployment(deployment, endpoint.id, prices)
            for endpoint in own
            for deployment in await self._list_deployments(endpoint.id)
        ]
        references = [parse_model_reference(each.model) for each in remotes]
        names = await (await self._build_model_finder()).find_names(each for each in references if each)
        return [replace(each, model=_get_name(each.model, names)) for each in remotes if each.tag]

    async def _search(self, endpoint: TogetherEndpoint, order: DeploymentOrder) -> DeploymentSearch:
        listed = await self._list_deployments(endpoint.id)
        if not listed:
            return DeploymentSearch(())
        model = await (await self._build_model_finder()).find(order.model)
        prices = await ServingOptionReader(self._root_client).list_prices()
        remotes = [
            replace(
                self._to_remote_deployment(each, endpoint.id, prices),
                model=_get_known_name(each.model, model, order.model),
            )
            for each in listed
        ]
        found = tuple(remote for remote in remotes if remote.tag == order.tag)
        return DeploymentSearch(found, found[0] if found else remotes[0])

    def _select_own(self, search: DeploymentSearch, order: DeploymentOrder) -> RemoteDeployment | None:
        """Return the deployment of the order in its endpoint. Raises DeploymentNameTaken."""
        return select_remote_deployment(order.tag, order.model, search.found, named=search.named).chosen

    async def _read_identity(self) -> TogetherIdentity:
        """Return the owner of the key. It is no answer about a deployment, so a 404 must not look like one."""
        try:
            async with self._root_client.read_call():
                return await self._root_client.get_decoded(IDENTITY_DECODER, "/v3/whoami")
        except RemoteNotFound:  # v3 according to the SDK, v1 according to other documents
            pass
        try:
            async with self._client.read_call():
                return await self._client.get_decoded(IDENTITY_DECODER, "/whoami")
        except RemoteNotFound as error:
            raise ProviderUnavailable(
                f"Together does not name the project of the key: {error.message}",
                hint=NO_PROJECT_HINT,
                account=self._account.name,
                request_id=error.request_id,
            ) from error

    async def _get_project(self) -> str:
        """Return the id of the project: that of the accounts file, else that of the key."""
        if self._project is None:
            identity = await self._read_identity()
            if identity.project is None:
                message = "the key belongs to an organization, and deployments belong to a project"
                raise RequestRejected(message, hint=NO_PROJECT_HINT, account=self._account.name)
            self._project = identity.project.id
        return self._project

    async def _build_path(self) -> str:
        """Return the path of the project's endpoints."""
        return f"/v2/projects/{await self._get_project()}/endpoints"

    async def _build_model_finder(self) -> ModelObjectFinder:
        return ModelObjectFinder(self._client, self._root_client, await self._get_project())

    async def _choose_way(self, order: DeploymentOrder) -> tuple[ModelReference, ServingWay]:
        """Return the object of the order's model and the way to serve it. Raises RequestRejected."""
        finder = await self._build_model_finder()
        model = await finder.find(order.model)
        if model is None:
            raise RequestRejected(
                f"Together has no object of the model {order.model} in the project {await self._get_project()}",
                hint="Check in Together's console whether the model was deleted, or is in another project.",
                account=self._account.name,
            )
        base = await finder.get_base(model)
        reader = ServingOptionReader(self._root_client)
        catalog_model = await reader.find_catalog_model(order.base_model) if order.spec.precision else None
        references = [each for each in (base, model.path) if each]
        ways = await reader.list_ways(await self._get_project(), references, catalog_model)
        return model, select_way(ways, order.spec, order.model)

    async def _list_endpoints(self) -> list[TogetherEndpoint]:
        """Return every endpoint of the project. The server's filter is not used: one that finds too little costs."""
        return await list_cursor_items(self._root_client, ENDPOINT_PAGE_DECODER, await self._build_path())

    async def _find_endpoint(self, name: str) -> TogetherEndpoint | None:
        return next((each for each in await self._list_endpoints() if _get_last_part(each.name) == name), None)

    async def _list_deployments(self, endpoint_id: str) -> list[TogetherDeployment]:
        path = f"{await self._build_path()}/{endpoint_id}/deployments"
        try:
            return await list_cursor_items(self._root_client, DEPLOYMENT_PAGE_DECODER, path)
        except RemoteNotFound:  # the endpoint was deleted meanwhile
            return []

    async def _create_endpoint(self, name: str) -> TogetherEndpoint:
        """Create the endpoint; one that exists already was created meanwhile."""
        body = {"name": name, "visibility": "VISIBILITY_PRIVATE"}
        try:
            return await self._root_client.post_decoded(ENDPOINT_DECODER, await self._build_path(), body)
        except UnsuccessfulResponse as refusal:
            found = await self._find_endpoint(name) if refusal.status == httpx2.codes.CONFLICT else None
            if found is None:
                raise
            return found

    async def _get_deployment(self, remote_id: str) -> tuple[str, TogetherDeployment]:
        endpoint_id, _, deployment_id = remote_id.partition("/")
        path = f"{await self._build_path()}/{endpoint_id}/deployments/{deployment_id}"
        async with self._root_client.read_call():
            found = await self._root_client.get_decoded(DEPLOYMENT_DECODER, path)
            check_id(remote_id, f"{endpoint_id}/{found.id}", path)
        return endpoint_id, found

    async def _stop(self, path: str, deployment: TogetherDeployment) -> None:
        """Set the number of replicas to 0, which releases the hardware."""
        body: dict[str, Any] = {"autoscaling": {"minReplicas": 0, "maxReplicas": 0}}
        body |= {"etag": deployment.etag} if deployment.etag else {}
        async with self._root_client.read_call():
            await self._root_client.send("PATCH", path, json=body, params={"updateMask": "autoscaling"})

    async def _delete(self, path: str, endpoint_id: str, deployment: TogetherDeployment) -> bool:
        """Delete a deployment. Return False for a failed one that must be stopped before."""
        await self._remove_from_traffic(endpoint_id, deployment.id)
        params = {"etag": deployment.etag} if deployment.etag else None
        async with self._root_client.read_call():
            try:
                await self._root_client.send("DELETE", path, params=params)
            except UnsuccessfulResponse as refusal:
                if refusal.status == httpx2.codes.NOT_FOUND:
                    return True
                if _get_status(deployment) is RemoteDeploymentStatus.FAILED and refusal.status in MUST_STOP_STATUSES:
                    return False
                raise
        return True

    async def _remove_from_traffic(self, endpoint_id: str, deployment_id: str) -> None:
        """Remove the deployment from the traffic of its endpoint, if an operator has added it there."""
        path = f"{await self._build_path()}/{endpoint_id}"
        async with self._root_client.read_call():
            endpoint = await self._root_client.get_decoded(ENDPOINT_DECODER, path)
            split = endpoint.traffic_split or []
            kept = [msgspec.to_builtins(each) for each in split if each.deployment_id != deployment_id]
            if len(kept) == len(split):
                return
            body = {"trafficSplit": kept} | ({"etag": endpoint.etag} if endpoint.etag else {})
            await self._root_client.send("PATCH", path, json=body, params={"updateMask": "trafficSplit"})

    async def _delete_endpoint(self, endpoint_id: str) -> None:
        """Delete the endpoint. One with a deployment of somebody else is refused, and stays."""
        async with self._root_client.read_call():
            try:
                await self._root_client.send("DELETE", f"{await self._build_path()}/{endpoint_id}")
            except UnsuccessfulResponse as refusal:
                if refusal.status not in {httpx2.codes.NOT_FOUND, *MUST_STOP_STATUSES}:
                    raise

    @property
    def _call_url(self) -> str:
        """Where deployments are called. A server of one's own is called where it is configured."""
        base_url = (self._account.base_url or DEFAULT_BASE_URL).rstrip("/")
        return DEDICATED_URL if base_url == DEFAULT_BASE_URL else base_url

    def _describe_created(
        self, order: DeploymentOrder, made: TogetherDeployment, endpoint_id: str, way: ServingWay
    ) -> RemoteDeployment:
        remote = self._to_remote_deployment(made, endpoint_id, {})
        wanted = order.spec.idle_stop_minutes
        if wanted is not None and count_or_none(made.inactive_timeout) != wanted:
            remote = replace(remote, warning=NO_IDLE_STOP_WARNING)
        usd, source = way.option.price.usd_per_hour, format_price_source(way)
        return replace(remote, model=order.model, tag=order.tag, usd_per_hour=usd, price_source=source)

    def _to_remote_deployment(
        self, deployment: TogetherDeployment, endpoint_id: str, prices: Mapping[str, float]
    ) -> RemoteDeployment:
        _, _, names = deployment.name.partition("/")
        endpoint_name, _, name = names.partition("/")
        usd = prices.get(deployment.hardware) if isinstance(deployment.hardware, str) else None
        return RemoteDeployment(
            id=f"{endpoint_id}/{deployment.id}",
            status=_get_status(deployment),
            raw_status=deployment.status.state.removeprefix(STATE_PREFIX),
            model=deployment.model,
            tag=parse_deployment_name(name) if endpoint_name == name else None,
            model_string=deployment.name,
            base_url=self._call_url,
            usd_per_hour=usd,
            price_source=None if usd is None else f"{PRICE_SOURCE}, {deployment.hardware}",
            ready_replicas=count_or_none(deployment.status.ready_replicas),
            message=text_or_none(deployment.status.message),
            created_at=epoch_from_iso(deployment.created_at),
        )


def _get_status(deployment: TogetherDeployment) -> RemoteDeploymentStatus:
    state = deployment.status.state.removeprefix(STATE_PREFIX)
    if state == "SCALING" and count_or_none(deployment.status.ready_replicas):
        return RemoteDeploymentStatus.RUNNING
    return STATUS_BY_STATE.get(state, RemoteDeploymentStatus.UNKNOWN)


def _get_known_name(path: str, model: ModelReference | None, name: str) -> str:
    """Return the name of the served model where it is `model`; empty where the object of the name is not known."""
    if model is None:
        return ""
    served = parse_model_reference(path)
    return name if served and served.is_same(model) else path


def _get_name(path: str, names: Mapping[ModelReference, str]) -> str:
    """Return the name of the model with this path, or the path if the name is not known."""
    reference = parse_model_reference(path)
    return names.get(reference, path) if reference else path


def _get_last_part(name: str) -> str:
    """Return the name of an endpoint without that of its project."""
    return name.rpartition("/")[2]


def _build_body(order: DeploymentOrder, model: ModelReference, way: ServingWay) -> dict[str, Any]:
    low = order.spec.min_replicas or 1  # 0 is refused for a deployment that runs
    body: dict[str, Any] = {
        "name": order.name,
        "model": model.pinned_path,
        "config": way.config_path,
        "autoscaling": {"minReplicas": low, "maxReplicas": max(order.spec.max_replicas or low, low)},
    }
    if order.spec.idle_stop_minutes is not None:
        body["inactiveTimeout"] = order.spec.idle_stop_minutes
    return body
