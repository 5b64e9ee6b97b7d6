"""The fields of Together's responses about endpoints, deployments and their configs that are used."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Generic, TypeVar

import msgspec

from orchestrator.providers.http.response_decoder import ListLimits, RemoteId, RemoteIdOrEmpty, StatusWord
from orchestrator.providers.http.rest_client import RestClient

Item = TypeVar("Item")
PAGE_SIZE: Final = 100


class CursorPage(msgspec.Struct, Generic[Item]):
    """One page of a list of version 2. `data` is required: an error is not an empty list."""

    data: list[Item]
    next_cursor: RemoteIdOrEmpty | None = None
    error: Any = None

    def __post_init__(self) -> None:
        if self.error:
            raise ValueError("the list carries an error")


class TogetherDeploymentStatus(msgspec.Struct, rename="camel"):
    """The status of a deployment."""

    state: StatusWord
    message: Any = None
    ready_replicas: Any = None


class TogetherDeployment(msgspec.Struct, rename="camel"):
    """A deployment. Its name is `PROJECT/ENDPOINT/DEPLOYMENT`, its model a path with the revision."""

    id: RemoteId
    name: RemoteId
    model: RemoteIdOrEmpty
    status: TogetherDeploymentStatus
    endpoint_id: RemoteIdOrEmpty | None = None
    etag: RemoteIdOrEmpty | None = None
    hardware: Any = None
    inactive_timeout: Any = None
    created_at: Any = None


class TogetherTraffic(msgspec.Struct, rename="camel"):
    """The share of a deployment in the traffic of its endpoint."""

    deployment_id: RemoteId
    weight: float = 0.0


class TogetherDeploymentSummary(msgspec.Struct, rename="camel"):
    """A deployment as its endpoint shows it."""

    id: RemoteId


class TogetherEndpoint(msgspec.Struct, rename="camel"):
    """An endpoint. Its name is `PROJECT/ENDPOINT`."""

    id: RemoteId
    name: RemoteId
    etag: RemoteIdOrEmpty | None = None
    deployments: list[TogetherDeploymentSummary] | None = None
    traffic_split: list[TogetherTraffic] | None = None


class TogetherModelObject(msgspec.Struct, rename="camel"):
    """A model of the project, with the model that it was derived from."""

    id: RemoteId
    name: RemoteIdOrEmpty = ""
    base_model: RemoteIdOrEmpty | None = None
    base_model_id: RemoteIdOrEmpty | None = None


class TogetherSelector(msgspec.Struct):
    """A property of a config, such as its hardware."""

    key: str
    value: str


class TogetherConfig(msgspec.Struct, rename="camel"):
    """A way to serve a model. It may belong to another project than the model."""

    id: RemoteId
    project_id: RemoteId
    selectors: list[TogetherSelector] | None = None

    @property
    def path(self) -> str:
        """The resource name that a deployment refers to."""
        return f"projects/{self.project_id}/configs/{self.id}"

    def find_selector(self, key: str) -> str | None:
        """Return the value of a property."""
        return next((each.value for each in self.selectors or () if each.key == key and each.value), None)


class TogetherProfile(msgspec.Struct, rename="camel"):
    """A certified way to serve a model of the catalogue. Only here is the precision of a config."""

    config: RemoteIdOrEmpty | None = None
    certified_config_revision_id: RemoteIdOrEmpty | None = None
    quantization: Any = None


class TogetherCatalogModel(msgspec.Struct, rename="camel"):
    """A model of the catalogue."""

    name: RemoteIdOrEmpty
    base_model: RemoteIdOrEmpty | None = None
    base_model_id: RemoteIdOrEmpty | None = None
    deployment_profiles: list[TogetherProfile] | None = None


class TogetherInstanceType(msgspec.Struct, rename="camel"):
    """Hardware for one replica, with its price."""

    id: RemoteIdOrEmpty
    name: RemoteIdOrEmpty
    price_cents_per_hour: float | None = None


DEPLOYMENT_DECODER: Final = msgspec.json.Decoder(TogetherDeployment, strict=False)
DEPLOYMENT_PAGE_DECODER: Final = msgspec.json.Decoder(CursorPage[TogetherDeployment], strict=False)
ENDPOINT_DECODER: Final = msgspec.json.Decoder(TogetherEndpoint, strict=False)
ENDPOINT_PAGE_DECODER: Final = msgspec.json.Decoder(CursorPage[TogetherEndpoint], strict=False)
MODEL_OBJECT_DECODER: Final = msgspec.json.Decoder(TogetherModelObject, strict=False)
MODEL_OBJECT_PAGE_DECODER: Final = msgspec.json.Decoder(CursorPage[TogetherModelObject], strict=False)
CONFIG_PAGE_DECODER: Final = msgspec.json.Decoder(CursorPage[TogetherConfig], strict=False)
CATALOG_PAGE_DECODER: Final = msgspec.json.Decoder(CursorPage[TogetherCatalogModel], strict=False)
INSTANCE_TYPE_PAGE_DECODER: Final = msgspec.json.Decoder(CursorPage[TogetherInstanceType], strict=False)


async def list_cursor_items(
    client: RestClient, decoder: msgspec.json.Decoder[CursorPage[Item]], path: str, **query: str
) -> list[Item]:
    """Return every item of a list. Raises `ProviderError`, also for a list that repeats itself."""
    limits = ListLimits(path, asyncio.get_running_loop().time)
    items: list[Item] = []
    after: dict[str, Any] = {}
    while True:
        async with client.read_call(), asyncio.timeout(limits.seconds_left):
            page = await client.get_page(limits, decoder, path, limit=str(PAGE_SIZE), **query, **after)
            items += page.data
            if not page.next_cursor:
                return items
            limits.count_page(len(page.data), page.next_cursor)
        after = {"after": page.next_cursor}
