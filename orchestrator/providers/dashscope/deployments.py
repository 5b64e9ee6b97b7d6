"""DashScope's deployments: a fine-tuned model, billed per token (plan `lora`) or by the hour (plan `mu`).

* The name of a deployment is MODEL-SUFFIX. The suffix has at most eight characters and is a hash of the tag, so the
  name is known before the create and is read first; the list is searched for a server that builds it otherwise.
* A suffix is used once in the whole service, so the refusal of a create may be due to another customer's deployment.
* `capacity` is required with every plan, also with `lora`, where it has no effect. With `mu` it must be a multiple of
  the units of one instance, and `deploy_spec` and `billing_method` are required too.
* Where the display name is shown, it carries the whole tag, so that a lost database finds the deployment.

Source: the documentation of Model Studio of 2026 and the vendor's SDK 2.0.2.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from orchestrator.core.account import Account
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment import format_deployment_name
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import (
    RemoteDeployment,
    RemoteDeploymentStatus,
    select_remote_deployment,
)
from orchestrator.core.errors import DeploymentNameTaken, RemoteNotFound, RequestRejected
from orchestrator.core.providers import find_call_url
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentSearch
from orchestrator.providers.chat_call import call_chat_model
from orchestrator.providers.dashscope.deployment_responses import (
    DEPLOYABLE_MODEL_PAGE_DECODER,
    DEPLOYMENT_DECODER,
    DEPLOYMENT_PAGE_DECODER,
    DashScopeDeployableModel,
    DashScopeDeployableModelPage,
    DashScopeDeployment,
    DashScopeDeploymentPage,
    DashScopePlan,
)
from orchestrator.providers.dashscope.numbered_pages import PAGE_SIZE, NumberedPageReader
from orchestrator.providers.deployment_names import parse_deployment_name
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.response_decoder import (
    ListLimits,
    check_id,
    count_or_none,
    name_or_none,
    text_or_none,
)
from orchestrator.providers.http.rest_client import RestClient

STATUS_BY_WORD: Final[Mapping[str, RemoteDeploymentStatus]] = {
    "PENDING": RemoteDeploymentStatus.CREATING,
    "DEPLOYING": RemoteDeploymentStatus.CREATING,
    "UPDATING": RemoteDeploymentStatus.RUNNING,
    "RUNNING": RemoteDeploymentStatus.RUNNING,
    "STOPPED": RemoteDeploymentStatus.STOPPED,
    "DELETING": RemoteDeploymentStatus.STOPPING,
    "FAILED": RemoteDeploymentStatus.FAILED,
}
PLAN_BY_KIND: Final[Mapping[DeploymentKind, str]] = {DeploymentKind.TOKEN: "lora", DeploymentKind.HOUR: "mu"}
PRICE_SOURCE: Final = "billed per token (plan lora)"
BILLING_METHOD: Final = "POST_PAY"  # the only one; reserved capacity cannot be deleted before its end
CONFLICT_CODE: Final = "Conflict"
CONFLICT_STATUSES: Final = frozenset({400, 409})
INVALID_CODE: Final = "InvalidParameter"
LIST_SECONDS: Final = 180.0  # for all passes over a list
SUFFIX_TAKEN_HINT: Final = "Request the deployment again: each request uses another suffix."
_HASHED_SUFFIX: Final = re.compile(r".+-[0-9a-f]{8}")


class DashScopeDeployments:
    """The deployments of one account. Their ids are the names under which they are called."""

    def __init__(self, account: Account, client: RestClient) -> None:
        self._account = account
        self._client = client

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the plans of the account's models with this base model, or else those of the base model itself.

        A base model without the plan `lora` may have it once it is fine-tuned, so its plans alone are no refusal.
        """
        tuned = [each for each in await self._list_deployable("custom") if _is_derived(each.model_name, base_model)]
        if any(each.plans for each in tuned):
            return _to_options(plan for each in tuned for plan in each.plans or ())
        bases = [each for each in await self._list_deployable("base") if each.model_name == base_model]
        options = _to_options(plan for each in bases for plan in each.plans or ())
        return options if any(each.price.kind is DeploymentKind.TOKEN for each in options) else None

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        """Read the deployment with the expected name; if there is none, search for the suffix."""
        try:
            expected = await self.get_deployment(f"{order.model}-{order.name}")
        except RemoteNotFound:
            listed = [self._to_remote_deployment(each) for each in await self._list_deployments()]
            named = [each for each in listed if each.id.endswith(f"-{order.name}")]
        else:
            named = [expected]
        found = [replace(each, tag=order.tag) for each in named if each.model in ("", order.model)]
        return DeploymentSearch(tuple(found), found[0] if found else next(iter(named), None))

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        async with self._client.read_call(max(deadline.seconds_left, 0)):
            body = await self._build_body(order)
        try:
            return await self._send_deployment(order, body, deadline)
        except RequestRejected as error:
            # A refusal created nothing. The pages of the documentation disagree on the display name.
            if error.code != INVALID_CODE or body.pop("name", None) is None:
                raise
            return await self._send_deployment(order, body, deadline)

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        path = f"/deployments/{remote_id}"
        async with self._client.read_call():
            found = (await self._client.get_decoded(DEPLOYMENT_DECODER, path)).output
            check_id(remote_id, found.deployed_model, path)
        return self._to_remote_deployment(found)

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        client = self._client.with_base_url(remote.base_url or find_call_url(self._account) or "")
        await call_chat_model(client, remote.model_string or remote.id)

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        if remote.status is RemoteDeploymentStatus.STOPPING:
            return
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", f"/deployments/{remote.id}")

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        """Return what has the form of one of our names. Without a display name it has no tag: its name is a hash."""
        listed = [self._to_remote_deployment(each) for each in await self._list_deployments()]
        return [each for each in listed if each.tag or _HASHED_SUFFIX.fullmatch(each.id)]

    async def _send_deployment(
        self, order: DeploymentOrder, body: Mapping[str, Any], deadline: Deadline
    ) -> RemoteDeployment:
        async with self._client.write_call(deadline):
            try:
                answer = await self._client.post_decoded(DEPLOYMENT_DECODER, "/deployments", body)
            except UnsuccessfulResponse as refusal:
                if refusal.status not in CONFLICT_STATUSES or refusal.parse_body().get("code") != CONFLICT_CODE:
                    raise
                return await self._get_existing(order)
        made = self._to_remote_deployment(answer.output)
        usd = 0.0 if order.spec.kind is DeploymentKind.TOKEN else None
        return replace(
            made,
            model=order.model,
            tag=order.tag,
            usd_per_hour=usd,
            price_source=made.price_source or (PRICE_SOURCE if usd == 0 else None),
            request_id=name_or_none(answer.request_id),
        )

    async def _get_existing(self, order: DeploymentOrder) -> RemoteDeployment:
        """Return the order's deployment after the refusal of its suffix. Raises DeploymentNameTaken."""
        search = await self.find_deployments(order)
        chosen = select_remote_deployment(order.tag, order.model, search.found, named=search.named).chosen
        if chosen is None:
            raise DeploymentNameTaken(
                f"the suffix {order.name} of a deployment of {order.model} is used by somebody else",
                hint=SUFFIX_TAKEN_HINT,
                account=self._account.name,
            )
        return chosen

    async def _build_body(self, order: DeploymentOrder) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model_name": order.model,
            "plan": PLAN_BY_KIND[order.spec.kind],
            "capacity": 1,
            "suffix": order.name,
            "name": format_deployment_name(order.tag),
        }
        if order.spec.kind is DeploymentKind.HOUR:
            replicas = order.spec.min_replicas or 1  # their number does not change by itself
            body["capacity"] = replicas * await self._get_units(order)
            body |= {"deploy_spec": order.spec.hardware, "billing_method": BILLING_METHOD}
        return body

    async def _get_units(self, order: DeploymentOrder) -> int:
        """Return the units of one instance; 1 where no list shows them, which the provider refuses if it is wrong."""
        for source in ("custom", "base"):
            for model in await self._list_deployable(source):
                if model.model_name not in (order.model, order.base_model):
                    continue
                templates = [each for plan in model.plans or () for each in plan.templates or ()]
                units = next((each.capacity for each in templates if each.template_id == order.spec.hardware), None)
                if units:
                    return units
        return 1

    async def _list_deployments(self) -> list[DashScopeDeployment]:
        async def read_page(number: int, limits: ListLimits) -> DashScopeDeploymentPage:
            async with self._client.read_call():
                query = {"page_no": str(number), "page_size": str(PAGE_SIZE)}
                page = await self._client.get_page(limits, DEPLOYMENT_PAGE_DECODER, "/deployments", **query)
                return page.output

        async with self._client.read_call(LIST_SECONDS):
            return await NumberedPageReader("/deployments", read_page, asyncio.get_running_loop().time).read()

    async def _list_deployable(self, source: str) -> list[DashScopeDeployableModel]:
        """Return the models that can be deployed: the provider's (`base`) or the account's (`custom`)."""
        path = "/deployments/models"

        async def read_page(number: int, limits: ListLimits) -> DashScopeDeployableModelPage:
            async with self._client.read_call():
                query = {
                    "page_no": str(number),
                    "page_size": str(PAGE_SIZE),
                    "version": "v1.0",
                    "model_source": source,
                }
                page = await self._client.get_page(limits, DEPLOYABLE_MODEL_PAGE_DECODER, path, **query)
                return page.output

        async with self._client.read_call(LIST_SECONDS):
            return await NumberedPageReader(path, read_page, asyncio.get_running_loop().time).read()

    def _to_remote_deployment(self, found: DashScopeDeployment) -> RemoteDeployment:
        per_token = found.plan == PLAN_BY_KIND[DeploymentKind.TOKEN]
        return RemoteDeployment(
            id=found.deployed_model,
            status=STATUS_BY_WORD.get(found.status, RemoteDeploymentStatus.UNKNOWN),
            raw_status=found.status,
            model=found.served_model,
            tag=parse_deployment_name(found.name or "") or parse_deployment_name(found.display_name or ""),
            model_string=found.deployed_model,
            base_url=find_call_url(self._account),
            usd_per_hour=0.0 if per_token else None,
            price_source=PRICE_SOURCE if per_token else None,
            ready_replicas=_count_replicas(found),
            message=text_or_none(found.message),
        )


def _count_replicas(found: DashScopeDeployment) -> int | None:
    ready, units = count_or_none(found.ready_capacity), count_or_none(found.base_capacity)
    return None if ready is None else ready // (units or 1)


def _is_derived(model: str, base_model: str) -> bool:
    """Return whether a fine-tuned model has this base model: its name begins with it."""
    return model.startswith(f"{base_model}-")


def _to_options(plans: Iterable[DashScopePlan]) -> list[DeploymentOption]:
    """Convert plans, the one per token first. Those that the service does not use are left out."""
    kinds = {plan: kind for kind, plan in PLAN_BY_KIND.items()}
    options: dict[tuple[DeploymentKind, str | None], DeploymentOption] = {}
    for plan in plans:
        kind = kinds.get(plan.plan)
        if kind is DeploymentKind.TOKEN:
            price = DeploymentPrice(kind=kind, usd_per_hour=0.0, source=PRICE_SOURCE)
            options[kind, None] = DeploymentOption(price=price)
        elif kind is DeploymentKind.HOUR:
            for template in plan.templates or ():
                price = DeploymentPrice(kind=kind, usd_per_hour=None)
                options[kind, template.template_id] = DeploymentOption(price=price, hardware=template.template_id)
    return sorted(options.values(), key=lambda each: (each.price.usd_per_hour is None, each.hardware or ""))
