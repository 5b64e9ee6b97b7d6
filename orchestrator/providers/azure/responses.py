"""The fields of the resource manager's responses that are used."""

from __future__ import annotations

from typing import Any, Final, Generic

import msgspec

from orchestrator.providers.http.response_decoder import Item, RemoteId, RemoteIdOrEmpty, StatusWord


class AzureModel(msgspec.Struct, rename="camel"):
    """The model of a deployment."""

    name: RemoteIdOrEmpty
    version: Any = None


class AzureDeploymentProperties(msgspec.Struct, rename="camel"):
    """The state of a deployment, and the model that it serves."""

    model: AzureModel
    provisioning_state: StatusWord = ""


class AzureDeployment(msgspec.Struct, rename="camel"):
    """A deployment of a resource."""

    name: RemoteId
    properties: AzureDeploymentProperties
    sku: Any = None
    tags: Any = None
    system_data: Any = None


class AzurePage(msgspec.Struct, Generic[Item], rename="camel"):
    """A page of a list. `value` is required: a server that only reports an error has not said that it is empty."""

    value: list[Item]
    next_link: str | None = None


class AzureListedModel(msgspec.Struct, rename="camel"):
    """A model that a resource can deploy, with the types of deployments that it has."""

    name: RemoteIdOrEmpty
    version: Any = None
    skus: Any = None


class AzureOperationError(msgspec.Struct):
    """Why an operation failed."""

    code: Any = None
    message: Any = None


class AzureOperation(msgspec.Struct):
    """The state of an operation that was accepted."""

    status: StatusWord
    error: AzureOperationError | None = None


DEPLOYMENT_DECODER: Final = msgspec.json.Decoder(AzureDeployment)
DEPLOYMENT_PAGE_DECODER: Final = msgspec.json.Decoder(AzurePage[AzureDeployment])
MODEL_PAGE_DECODER: Final = msgspec.json.Decoder(AzurePage[AzureListedModel])
OPERATION_DECODER: Final = msgspec.json.Decoder(AzureOperation)
