"""The fields of DashScope's responses about deployments that are used."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.providers.dashscope.responses import DashScopeEnvelope
from orchestrator.providers.http.response_decoder import RemoteId, RemoteIdOrEmpty, StatusWord


class DashScopeDeployment(msgspec.Struct):
    """A deployment. Its `deployed_model` is its id and what a client sends as `model`.

    Some plans do not show their name. The times have no zone and are not read.
    """

    deployed_model: RemoteId
    status: StatusWord
    model_name: RemoteIdOrEmpty | None = None
    model: RemoteIdOrEmpty | None = None
    plan: RemoteIdOrEmpty | None = None
    name: RemoteIdOrEmpty | None = None
    display_name: RemoteIdOrEmpty | None = None
    ready_capacity: Any = None
    base_capacity: Any = None
    message: Any = None

    @property
    def served_model(self) -> str:
        """The model that it serves; empty if it does not show it."""
        return self.model_name or self.model or ""


class DashScopeDeploymentPage(msgspec.Struct):
    """A page of deployments."""

    deployments: list[DashScopeDeployment]
    page_size: int | None = None
    total: int | None = None

    @property
    def items(self) -> list[tuple[str, DashScopeDeployment]]:
        return [(each.deployed_model, each) for each in self.deployments]


class DashScopeRole(msgspec.Struct):
    """The capacity of one instance."""

    capacity_unit_per_instance: int | None = None


class DashScopeTemplate(msgspec.Struct):
    """A size of an instance with the plan `mu`."""

    template_id: RemoteId
    roles: dict[str, DashScopeRole] | None = None

    @property
    def capacity(self) -> int | None:
        """The units of one instance; None where it is not one instance, but one for each part of an answer."""
        unified = (self.roles or {}).get("unified")
        return unified.capacity_unit_per_instance if unified else None


class DashScopePlan(msgspec.Struct):
    """A plan with which a model can be deployed."""

    plan: RemoteId
    templates: list[DashScopeTemplate] | None = None


class DashScopeDeployableModel(msgspec.Struct):
    """A model that can be deployed. An older server does not show its plans."""

    model_name: RemoteId
    plans: list[DashScopePlan] | None = None


class DashScopeDeployableModelPage(msgspec.Struct):
    """A page of models that can be deployed."""

    models: list[DashScopeDeployableModel]
    page_size: int | None = None
    total: int | None = None

    @property
    def items(self) -> list[tuple[str, DashScopeDeployableModel]]:
        return [(each.model_name, each) for each in self.models]


class DeploymentResponse(DashScopeEnvelope, kw_only=True):
    """A deployment in its envelope."""

    output: DashScopeDeployment


class DeploymentPageResponse(DashScopeEnvelope, kw_only=True):
    """A page of deployments in its envelope."""

    output: DashScopeDeploymentPage


class DeployableModelPageResponse(DashScopeEnvelope, kw_only=True):
    """A page of models that can be deployed in its envelope."""

    output: DashScopeDeployableModelPage


DEPLOYMENT_DECODER: Final = msgspec.json.Decoder(DeploymentResponse, strict=False)
DEPLOYMENT_PAGE_DECODER: Final = msgspec.json.Decoder(DeploymentPageResponse, strict=False)
DEPLOYABLE_MODEL_PAGE_DECODER: Final = msgspec.json.Decoder(DeployableModelPageResponse, strict=False)
