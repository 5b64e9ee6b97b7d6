"""Fireworks' on-demand deployments: a fine-tuned model is merged into its base model and served by the hour.

The id of a deployment is the service's, so a second create is refused with 409, and a lost answer is found by the id.
Nothing here changes a deployment: an update without a mask would erase every field that it does not send.

Source: the vendor's documentation and its SDK 1.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx2

from orchestrator.core.account import Account
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import (
    DeploymentNameTaken,
    ProviderError,
    RemoteNotFound,
    RequestRejected,
    TemporaryError,
    UnknownOutcome,
)
from orchestrator.core.providers import find_call_url
from orchestrator.core.spec import digest
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentSearch
from orchestrator.providers.chat_call import call_chat_model
from orchestrator.providers.deployment_names import format_deployment_note, parse_deployment_name, parse_stop_time
from orchestrator.providers.fireworks.deployment_responses import (
    DEPLOYMENT_DECODER,
    DEPLOYMENT_PAGE_DECODER,
    SHAPES_DECODER,
    FireworksDeployment,
    FireworksShape,
)
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.response_decoder import ListLimits, check_id, count_or_none, text_or_none
from orchestrator.providers.http.rest_client import RestClient, epoch_from_iso

DELETED_STATE: Final = "DELETED"
STATUS_BY_STATE: Final[Mapping[str, RemoteDeploymentStatus]] = {
    "CREATING": RemoteDeploymentStatus.CREATING,
    "READY": RemoteDeploymentStatus.RUNNING,
    "UPDATING": RemoteDeploymentStatus.RUNNING,
    "DELETING": RemoteDeploymentStatus.STOPPING,
    DELETED_STATE: RemoteDeploymentStatus.STOPPED,
    "FAILED": RemoteDeploymentStatus.FAILED,
}
DEFAULT_SHAPE: Final = "default"  # Fireworks chooses one that it has tested with the model
PAGE_SIZE: Final = 200
REPLICA_STEPS: Final[Mapping[str, str]] = {
    "pendingSchedulingReplicaCount": "waiting for hardware",
    "downloadingModelReplicaCount": "loading the model",
    "initializingReplicaCount": "starting",
}
"""What replicas do before they are ready, in their order."""
PRICE_SOURCE: Final = "Fireworks' API reports no prices"


class FireworksDeployments:
    """The deployments of one account. Their ids are complete resource names."""

    def __init__(self, account: Account, client: RestClient) -> None:
        self._account = account
        self._client = client
        self._account_path = f"accounts/{account.organization}"

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the tested shapes that serve the model; without any, whether a rehearsal of a create is accepted."""
        shapes = await self._list_shapes(base_model)
        if shapes or not await self._rehearse(base_model):
            return [_to_option(shape) for shape in shapes]
        return [DeploymentOption(price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=None))]

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        """Read the deployment with the order's name: the name is its id."""
        try:
            remote = await self.get_deployment(self._build_id(order))
        except RemoteNotFound:
            return DeploymentSearch(())
        return DeploymentSearch((remote,) if remote.tag == order.tag else (), remote)

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        shape = await self._find_shape(order)
        async with self._client.write_call(deadline):
            try:
                path, body = f"/{self._account_path}/deployments", _build_body(order, shape)
                made = await self._client.post_decoded(DEPLOYMENT_DECODER, path, body, deploymentId=order.name)
                check_id(self._build_id(order), made.name, path)
            except UnsuccessfulResponse as refusal:
                if refusal.status != httpx2.codes.CONFLICT:
                    raise
            else:
                return self._to_remote_deployment(made)
        return await self._get_existing_deployment(order)

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        """Return a deployment; one that is deleted and can be restored for some days counts as not found."""
        found = await self._read_deployment(remote_id)
        if found.state == DELETED_STATE:
            raise RemoteNotFound(f"the deployment {remote_id} is deleted", account=self._account.name)
        return self._to_remote_deployment(found)

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        await call_chat_model(self._client.with_base_url(find_call_url(self._account) or ""), remote.id)

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        """Delete permanently: otherwise the id stays taken. The checks refuse to delete one that is being called."""
        if remote.status is RemoteDeploymentStatus.STOPPING:
            return  # another request would be refused
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                params = {"hard": "true", "ignoreChecks": "true"}
                await self._client.send("DELETE", f"/{remote.id}", params=params)

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        limits = ListLimits("of deployments", asyncio.get_running_loop().time)
        query, found = {"pageSize": str(PAGE_SIZE)}, list[FireworksDeployment]()
        while True:
            async with self._client.read_call(), asyncio.timeout(limits.seconds_left):
                path = f"/{self._account_path}/deployments"
                page = await self._client.get_page(limits, DEPLOYMENT_PAGE_DECODER, path, **query)
                found += [each for each in page.deployments if each.state != DELETED_STATE]
                if not page.next_page_token:
                    break
                limits.count_page(len(page.deployments), page.next_page_token)
            query["pageToken"] = page.next_page_token
        remotes = [self._to_remote_deployment(each) for each in found]
        return [remote for remote in remotes if remote.tag]

    async def _read_deployment(self, remote_id: str) -> FireworksDeployment:
        async with self._client.read_call():
            found = await self._client.get_decoded(DEPLOYMENT_DECODER, f"/{remote_id}")
            check_id(remote_id, found.name, f"/{remote_id}")
            return found

    async def _get_existing_deployment(self, order: DeploymentOrder) -> RemoteDeployment:
        """Return the deployment whose id a refused create has found taken. A deleted one is removed permanently."""
        try:
            found = await self._read_deployment(self._build_id(order))
        except ProviderError as error:
            raise UnknownOutcome(
                f"the id {order.name} is taken by a deployment that cannot be read: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error
        remote = self._to_remote_deployment(found)
        if remote.model != order.model:
            raise DeploymentNameTaken(
                f"the id {order.name} is used by a deployment of {remote.model}", account=self._account.name
            )
        if found.state != DELETED_STATE:
            return remote
        await self.remove_deployment(remote)
        raise TemporaryError(
            f"the id {order.name} was still taken by a deleted deployment, which is now removed permanently",
            account=self._account.name,
        )

    async def _list_shapes(self, model: str) -> list[FireworksShape]:
        """Return the tested shapes that fit a model; none if Fireworks refuses to say. Creates nothing."""
        request = {"parent": self._account_path, "deployment": {"baseModel": model}}
        try:
            async with self._client.read_call():
                path = f"/{self._account_path}/deploymentShapeVersions:match"
                page = await self._client.post_decoded(SHAPES_DECODER, path, {"createDeploymentRequest": request})
        except RequestRejected:
            return []
        return [version.snapshot for version in page.deployment_shape_versions]

    async def _find_shape(self, order: DeploymentOrder) -> str | None:
        """Return the name of the shape of an order; None where the order has hardware or precision of its own."""
        spec = order.spec
        if spec.shape is None:
            return None if spec.hardware or spec.precision else DEFAULT_SHAPE
        if "/" in spec.shape:
            return spec.shape
        shapes = await self._list_shapes(order.model)
        names = {shape.preset_type: shape.name for shape in shapes}
        if name := names.get(spec.shape.upper()):
            return name
        known = ", ".join(sorted(preset for preset in names if preset)) or "none"
        raise RequestRejected(
            f"Fireworks has no shape {spec.shape} for {order.model}; its shapes: {known}", account=self._account.name
        )

    async def _rehearse(self, base_model: str) -> bool:
        """Return whether Fireworks would accept a deployment of the model. Creates nothing.

        Its id is one of ours, and its note says that it ended long ago: if a server creates it nevertheless, the
        inventory finds it and stops it.
        """
        tag = f"{digest('rehearsal', base_model)}.0"
        spec = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=0.0)
        order = DeploymentOrder(
            tag=tag,
            name=format_deployment_name(tag),
            model=base_model,
            base_model=base_model,
            spec=spec,
            expires_at=0.0,
        )
        path, query = f"/{self._account_path}/deployments", {"deploymentId": order.name, "validateOnly": "true"}
        try:
            async with self._client.read_call():
                await self._client.send(
                    "POST", path, json=_build_body(order, None), params=query, expected_status=httpx2.codes.CONFLICT
                )
        except RequestRejected:
            return False
        return True

    def _build_id(self, order: DeploymentOrder) -> str:
        return f"{self._account_path}/deployments/{order.name}"

    def _to_remote_deployment(self, found: FireworksDeployment) -> RemoteDeployment:
        status = STATUS_BY_STATE.get(found.state, RemoteDeploymentStatus.UNKNOWN)
        replicas = _count_ready_replicas(found)
        if status is RemoteDeploymentStatus.RUNNING and not replicas and not count_or_none(found.min_replica_count):
            status = RemoteDeploymentStatus.ASLEEP
        created_at, ends_at = epoch_from_iso(found.create_time), epoch_from_iso(found.delete_time)
        return RemoteDeployment(
            id=found.name,
            status=status,
            raw_status=found.state,
            model=found.base_model,
            tag=parse_deployment_name(found.name.removeprefix(f"{self._account_path}/deployments/")),
            model_string=found.name,
            base_url=find_call_url(self._account),
            price_source=PRICE_SOURCE,
            ready_replicas=replicas,
            message=_format_message(found),
            created_at=created_at,
            expires_at=ends_at if ends_at is not None and ends_at > (created_at or 0.0) else None,
            stop_at=parse_stop_time(found.description),
        )


def _build_body(order: DeploymentOrder, shape: str | None) -> dict[str, Any]:
    """Build the body that creates a deployment. Without a number of replicas it may go to sleep."""
    spec = order.spec
    body: dict[str, Any] = {
        "baseModel": order.model,
        "displayName": order.name,
        "description": format_deployment_note(order),
        "minReplicaCount": spec.min_replicas or 0,
        "maxReplicaCount": max(spec.max_replicas or 1, spec.min_replicas or 1),
    }
    if spec.idle_stop_minutes is not None:
        body["autoscalingPolicy"] = {"scaleToZeroWindow": f"{spec.idle_stop_minutes * 60}s"}
    values = {
        "deploymentShape": shape,
        "acceleratorType": spec.hardware and spec.hardware.upper().replace("-", "_"),
        "precision": spec.precision and spec.precision.upper(),
    }
    return body | {name: value for name, value in values.items() if value is not None}


def _count_ready_replicas(found: FireworksDeployment) -> int | None:
    stats = found.replica_stats if isinstance(found.replica_stats, dict) else {}
    ready = count_or_none(stats.get("readyReplicaCount"))
    return count_or_none(found.replica_count) if ready is None else ready


def _format_message(found: FireworksDeployment) -> str | None:
    """Format why the deployment failed, or what its replicas do before they are ready."""
    if found.status and (text := text_or_none(found.status.message)):
        return text
    stats = found.replica_stats if isinstance(found.replica_stats, dict) else {}
    counts = {text: count_or_none(stats.get(name)) for name, text in REPLICA_STEPS.items()}
    return ", ".join(f"{count} {text}" for text, count in counts.items() if count) or None


def _to_option(shape: FireworksShape) -> DeploymentOption:
    return DeploymentOption(
        price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=None, source=PRICE_SOURCE),
        hardware=shape.accelerator_type,
        shape=shape.preset_type or shape.name,
        precision=shape.precision,
    )
