"""An account at Nebius: OpenAI's API for training and calls, custom models for deployments.

A custom model is the adapter of a checkpoint, billed per token. Whether Nebius still offers it is not documented: the
vendor's examples of August 2026 use it, and users have found it gone in September. Both answers are handled. Where it
is gone, nothing can be deployed, no list of custom models is an error, and the checkpoint's files can still be
downloaded and served elsewhere.

* The name that is sent gets the base model before it and a random end, so a second create makes a second model. It is
  found by the tag in its name or its description, and by its source, `JOB:CHECKPOINT`.
* Names contain slashes and colons, which are percent-encoded in addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import quote

import httpx2

from orchestrator.core.account import Account
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import ProviderError, RemoteNotFound, RequestRejected
from orchestrator.core.providers import find_base_url, find_call_url
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, DeploymentOrder, DeploymentSearch, ProviderFactory
from orchestrator.providers.chat_call import call_chat_model
from orchestrator.providers.deployment_names import format_deployment_note, parse_deployment_name, parse_stop_time
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import check_id, number_or_none, text_or_none
from orchestrator.providers.http.rest_client import RestClient, epoch_from_iso
from orchestrator.providers.nebius.responses import MODEL_DECODER, MODEL_LIST_DECODER, NebiusModel
from orchestrator.providers.openai.openai_provider import JOBS_PATH, OpenAIProvider
from orchestrator.providers.openai.openai_provider import build_provider_factory as build_openai_factory
from orchestrator.providers.openai.responses import CHECKPOINT_LIST_DECODER, JOB_LIST_DECODER

MODELS_PATH: Final = "/v0/models"
OTHER_MODELS_PATH: Final = "/v1/models"  # where some of the vendor's examples delete a custom model
NOT_OFFERED_STATUSES: Final = frozenset({403, 404, 405})
"""Of the list of custom models where Nebius has none. Nothing is billed by the hour, so nothing is overlooked."""
REFUSED_STATUSES: Final = frozenset({403, 404, 405, 422})
"""Of a create where Nebius cannot serve the model. A 403 here says nothing about the right to train."""
NOT_OFFERED_HINT: Final = (
    "The fine-tuned model is kept: download the files of its checkpoint from Nebius and serve them elsewhere, "
    "or ask Nebius' support for a dedicated endpoint with custom weights."
)
PRICE_SOURCE: Final = "billed per token"
STATUS_BY_WORD: Final[Mapping[str, RemoteDeploymentStatus]] = {
    "validating": RemoteDeploymentStatus.CREATING,
    "active": RemoteDeploymentStatus.RUNNING,
    "error": RemoteDeploymentStatus.FAILED,
}
_OWN_NAME: Final = re.compile(r"(?:.*:)?(orch-[0-9a-f]{16}-[0-9]{1,6})(?:-[0-9A-Za-z]{1,16})?")
_TAG_IN_NOTE: Final = re.compile(r"\btag ([0-9a-f]{16}\.[0-9]{1,6})\b")


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    """Build the factory for accounts at Nebius."""
    connect_trainer = build_openai_factory(http, redact)

    def connect(account: Account, key: Secret) -> NebiusProvider:
        root = (find_base_url(account) or "").rstrip("/").removesuffix("/v1")
        control = RestClient(http, root, key=key, account=account.name, redact=redact, error_codes={})
        return NebiusProvider(connect_trainer(account, key), control)

    return connect


class NebiusProvider(OpenAIProvider):
    """One account at Nebius. The ids of deployments are the names of custom models."""

    __slots__ = ("_control",)

    def __init__(self, trainer: OpenAIProvider, control: RestClient) -> None:
        """`control` calls paths with their version."""
        super().__init__(trainer._account, trainer._dialect, trainer._client, trainer._md5s)
        self._control = control

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the way per token if Nebius has custom models. It does not report for which base models."""
        if await self._list_models() is None:
            return []
        price = DeploymentPrice(kind=DeploymentKind.TOKEN, usd_per_hour=0.0, source=PRICE_SOURCE)
        return [DeploymentOption(price=price)]

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        listed = [_to_remote_deployment(each, self._call_url) for each in await self._list_models() or ()]
        tagged = [each for each in listed if each.tag == order.tag]
        found = [replace(each, model=order.model) for each in tagged if _is_same_model(each.model, order.model)]
        return DeploymentSearch(tuple(found), next(iter(found or tagged), None))

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        async with self._control.read_call(max(deadline.seconds_left, 0)):
            source, base_model = await self._get_source(order)
        body = {
            "name": order.name,
            "base_model": base_model,
            "source": source,
            "description": format_deployment_note(order),
        }
        async with self._control.write_call(deadline):
            try:
                made = await self._control.post_decoded(MODEL_DECODER, MODELS_PATH, body)
            except UnsuccessfulResponse as refusal:
                if refusal.status not in REFUSED_STATUSES:
                    raise
                raise _to_not_offered(self._control.to_provider_error(refusal), order.model) from refusal
        return replace(_to_remote_deployment(made, self._call_url), model=order.model, tag=order.tag)

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        path = f"{MODELS_PATH}/{quote(remote_id, safe='')}"
        async with self._control.read_call():
            found = await self._control.send_decoded(MODEL_DECODER, "GET", path)
            check_id(remote_id, found.name, path)
        return _to_remote_deployment(found, self._call_url)

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        await call_chat_model(self._control.with_base_url(remote.base_url or self._call_url), remote.id)

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        """Delete the custom model, at the first of the two documented addresses that does it."""
        name = quote(remote.id, safe="")
        for path in (MODELS_PATH, OTHER_MODELS_PATH):
            async with self._control.read_call():
                try:
                    await self._control.send("DELETE", f"{path}/{name}")
                except UnsuccessfulResponse as refusal:
                    if refusal.status not in (httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED):
                        raise
                else:
                    return
        with suppress(RemoteNotFound):
            await self.get_deployment(remote.id)
            raise RequestRejected(
                f"Nebius does not delete the custom model {remote.id}",
                hint="Delete it in Nebius' console. It is billed per token: it costs nothing without calls.",
                account=self._account.name,
            )

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        listed = [_to_remote_deployment(each, self._call_url) for each in await self._list_models() or ()]
        return [each for each in listed if each.tag]

    @property
    def _call_url(self) -> str:
        return find_call_url(self._account) or ""

    async def _list_models(self) -> list[NebiusModel] | None:
        """Return the custom models of the account; None where Nebius does not have them."""
        async with self._control.read_call():
            try:
                return await self._control.list_items(MODEL_LIST_DECODER, MODELS_PATH)
            except UnsuccessfulResponse as refusal:
                if refusal.status not in NOT_OFFERED_STATUSES:
                    raise
                return None

    async def _get_source(self, order: DeploymentOrder) -> tuple[str, str]:
        """Return `JOB:CHECKPOINT` and the base model. Raises RequestRejected if no job has the checkpoint."""
        job_id, _, checkpoint = order.model.rpartition(":")
        async for job in self._client.iter_items(JOBS_PATH, JOB_LIST_DECODER):
            if job_id and job.id != job_id:
                continue
            path = f"{JOBS_PATH}/{quote(job.id, safe='')}/checkpoints"
            async for saved in self._client.iter_items(path, CHECKPOINT_LIST_DECODER):
                if saved.id == checkpoint:
                    return f"{job.id}:{checkpoint}", order.base_model or job.model or ""
        raise RequestRejected(
            f"no fine-tuning job of the account has the checkpoint {order.model}",
            hint="Check in Nebius' console whether the job was deleted.",
            account=self._account.name,
        )


def _is_same_model(checkpoint: str, model: str) -> bool:
    """Return whether the model is this checkpoint; one that is not shown may be it."""
    return checkpoint in ("", model.rpartition(":")[2])


def _to_not_offered(error: ProviderError, model: str) -> RequestRejected:
    return RequestRejected(
        f"the model is trained, and Nebius offers no way to serve {model}: {error.message}",
        hint=NOT_OFFERED_HINT,
        account=error.account,
        request_id=error.request_id,
        code=error.code,
    )


def _to_remote_deployment(found: NebiusModel, base_url: str) -> RemoteDeployment:
    source = found.source or (f"{found.job_id}:{found.checkpoint_id}" if found.checkpoint_id else "")
    created_at = number_or_none(found.created_at)
    return RemoteDeployment(
        id=found.name,
        status=STATUS_BY_WORD.get(found.status or "", RemoteDeploymentStatus.UNKNOWN),
        raw_status=found.status or "",
        model=source.rpartition(":")[2],
        tag=_parse_tag(found),
        model_string=found.name,
        base_url=base_url,
        usd_per_hour=0.0,
        price_source=PRICE_SOURCE,
        message=text_or_none(found.status_reason),
        created_at=epoch_from_iso(found.created_at) if created_at is None else created_at,
        stop_at=parse_stop_time(found.description),
    )


def _parse_tag(found: NebiusModel) -> str | None:
    """Return the tag in the name, or in the description."""
    if match := _OWN_NAME.fullmatch(found.name):
        return parse_deployment_name(match[1])
    match = _TAG_IN_NOTE.search(found.description) if isinstance(found.description, str) else None
    return match[1] if match else None
