"""The ways in which Together serves a model: its configs, with their hardware, precision and price.

A config is an immutable description of how a model runs. A model without a config cannot be served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice, sort_deployment_options
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import RequestRejected
from orchestrator.core.structs import Struct
from orchestrator.providers.http.response_decoder import name_or_none
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.together.deployment_responses import (
    CATALOG_PAGE_DECODER,
    CONFIG_PAGE_DECODER,
    INSTANCE_TYPE_PAGE_DECODER,
    TogetherCatalogModel,
    TogetherConfig,
    TogetherInstanceType,
    list_cursor_items,
)

CATALOG_PATH: Final = "/v2/supported-models"
INSTANCE_TYPES_PATH: Final = "/v2/public/inference-instance-types"
PRICE_SOURCE: Final = "together's list of instance types"
REFERENCE_SUFFIX: Final = "-Reference"
"""The end of the names of some models to train; to be served, they have the same name without it."""
ADAPTER_MODES: Final = frozenset({"dynamic", "fixed"})
"""Of configs that serve adapters beside a base model. Ours are merged with their base model."""


class ServingWay(Struct, frozen=True):
    """A config and what it costs."""

    config_path: str
    option: DeploymentOption


class ServingOptionReader:
    """Reads the ways in which the models of one project can be served."""

    def __init__(self, client: RestClient) -> None:
        """`client` calls paths with their version."""
        self._client = client

    async def find_catalog_model(self, name: str) -> TogetherCatalogModel | None:
        """Return the model of the catalogue with this name, without the ending of a model to train."""
        searched = name.removesuffix(REFERENCE_SUFFIX)
        listed = await list_cursor_items(self._client, CATALOG_PAGE_DECODER, CATALOG_PATH, search=searched)
        by_name = {each.name.removesuffix(REFERENCE_SUFFIX).casefold(): each for each in listed}
        return by_name.get(searched.casefold())

    async def list_ways(
        self, project: str, references: Iterable[str], catalog_model: TogetherCatalogModel | None
    ) -> list[ServingWay]:
        """Return the ways for models that derive from one of `references`: paths or ids of models."""
        configs: dict[str, TogetherConfig] = {}
        for reference in dict.fromkeys(references):
            name = "referenceModel" if "/" in reference else "referenceModelId"
            path = f"/v2/projects/{project}/configs"
            for each in await list_cursor_items(self._client, CONFIG_PAGE_DECODER, path, **{name: reference}):
                configs[each.path] = each
        if not configs:
            return []
        prices = await self.list_prices()
        precisions = _list_precisions(catalog_model)
        merged = [each for each in configs.values() if each.find_selector("adapter_mode") not in ADAPTER_MODES]
        return [_build_way(each, prices, precisions) for each in merged or configs.values()]

    async def list_prices(self) -> Mapping[str, float]:
        """Return the price of one replica per hour in US dollars, by the name of the hardware; empty if unknown."""
        types: list[TogetherInstanceType] = []
        with suppress(RequestRejected):  # without prices a deployment may be held, but not be refused
            async with self._client.read_call():
                types = (await self._client.get_decoded(INSTANCE_TYPE_PAGE_DECODER, INSTANCE_TYPES_PATH)).data
        return {each.name: each.price_cents_per_hour / 100 for each in types if each.price_cents_per_hour is not None}


def select_way(ways: Sequence[ServingWay], spec: DeploymentSpec, model: str) -> ServingWay:
    """Return the cheapest way that has what the spec fixes. Raises RequestRejected if there is none."""
    if not ways:
        raise RequestRejected(
            f"Together has no config for {model}, so it cannot be served there",
            hint="Withdraw the deployment, or train another base model; the fine-tuned model is kept.",
        )
    fitting = {each.option.config: each for each in ways if _fits(each, spec)}
    if not fitting:
        known = "; ".join(_format_way(each) for each in ways)
        raise RequestRejected(
            f"no config of {model} has the config, hardware and precision of the deployment; known: {known}",
            hint="Correct the options of the deployment, then request it again.",
        )
    return fitting[sort_deployment_options(each.option for each in fitting.values())[0].config]


def format_price_source(way: ServingWay) -> str:
    """Format where the price comes from; names the config, which the service may have chosen."""
    return f"{way.option.price.source}, config {_format_way(way)}"


def _fits(way: ServingWay, spec: DeploymentSpec) -> bool:
    option = way.option
    if spec.config is not None:
        return spec.config in (option.config, way.config_path)
    return spec.hardware in (None, option.hardware) and spec.precision in (None, option.precision)


def _build_way(config: TogetherConfig, prices: Mapping[str, float], precisions: Mapping[str, str]) -> ServingWay:
    kind, count = config.find_selector("accelerator_type"), config.find_selector("accelerator_count")
    price = DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=prices.get(f"{count}x{kind}"), source=PRICE_SOURCE)
    hardware = kind if count in (None, "1") else f"{count}x{kind}"
    option = DeploymentOption(price=price, hardware=hardware, config=config.id, precision=precisions.get(config.id))
    return ServingWay(config.path, option)


def _list_precisions(model: TogetherCatalogModel | None) -> dict[str, str]:
    """Return the precision of each config: only the catalogue shows it."""
    precisions = {}
    for profile in (model.deployment_profiles if model else None) or ():
        config = profile.certified_config_revision_id or (profile.config or "").rpartition("/")[2]
        if config and (precision := name_or_none(profile.quantization)):
            precisions[config] = precision
    return precisions


def _format_way(way: ServingWay) -> str:
    parts = [way.option.config, way.option.hardware, way.option.precision]
    return " ".join(part for part in parts if part)
