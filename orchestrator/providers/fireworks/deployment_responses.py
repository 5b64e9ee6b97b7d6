"""The fields of Fireworks' responses about deployments that are used."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.fireworks.responses import FireworksStatus
from orchestrator.providers.http.response_decoder import RemoteId, RemoteIdOrEmpty, StatusWord


class FireworksDeployment(msgspec.Struct, rename="camel"):
    """A deployment. Its name is the complete resource name. A number that is 0 may be left out."""

    name: RemoteId
    base_model: RemoteIdOrEmpty = ""
    state: StatusWord = ""
    status: FireworksStatus | None = None
    description: Any = None
    min_replica_count: Any = None
    replica_count: Any = None
    replica_stats: Any = None
    create_time: Any = None
    delete_time: Any = None


class FireworksDeploymentPage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One page of deployments. An empty list may have no key, so any unknown key means that this is no list."""

    deployments: list[FireworksDeployment] = []
    next_page_token: str | None = None
    total_size: Any = None


class FireworksShape(msgspec.Struct, rename="camel"):
    """A tested combination of hardware and precision."""

    name: RemoteId
    preset_type: StatusWord | None = None
    accelerator_type: StatusWord | None = None
    precision: StatusWord | None = None


class FireworksShapeVersion(msgspec.Struct, rename="camel"):
    """A version of a shape."""

    snapshot: FireworksShape


class FireworksShapePage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The versions of shapes that fit a model. Without any, there may be no key."""

    deployment_shape_versions: list[FireworksShapeVersion] = []
    next_page_token: str | None = None
    total_size: Any = None


DEPLOYMENT_DECODER: Final = msgspec.json.Decoder(FireworksDeployment, strict=False)
DEPLOYMENT_PAGE_DECODER: Final = msgspec.json.Decoder(FireworksDeploymentPage, strict=False)
SHAPES_DECODER: Final = msgspec.json.Decoder(FireworksShapePage, strict=False)
