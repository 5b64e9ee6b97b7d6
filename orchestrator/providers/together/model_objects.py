"""Finds the object of a fine-tuned model in its project: what a deployment refers to is not the model's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from orchestrator.core.errors import RemoteNotFound
from orchestrator.core.structs import Struct
from orchestrator.providers.http.response_decoder import check_id
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.together.deployment_responses import (
    MODEL_OBJECT_DECODER,
    MODEL_OBJECT_PAGE_DECODER,
    TogetherModelObject,
    list_cursor_items,
)
from orchestrator.providers.together.responses import JOB_DECODER, JOB_LIST_DECODER, TogetherJob

_PATH: Final = re.compile(r"projects/([^/]+)/models/([^/]+)(?:/revisions/([^/]+))?")
_ID: Final = re.compile(r"(ml_[^/]+)(?:/revisions/([^/]+))?")


class ModelReference(Struct, frozen=True):
    """The object of a model, and its revision if it is known; None: the latest."""

    project: str
    model: str
    revision: str | None = None

    @property
    def path(self) -> str:
        """The resource name of the model."""
        return f"projects/{self.project}/models/{self.model}"

    @property
    def pinned_path(self) -> str:
        """The resource name of the revision."""
        return f"{self.path}/revisions/{self.revision}" if self.revision else self.path

    def is_same(self, other: ModelReference) -> bool:
        """Return whether both are the same model; a revision that one does not know may be any."""
        if (self.project, self.model) != (other.project, other.model):
            return False
        return self.revision == other.revision or None in (self.revision, other.revision)


def parse_model_reference(text: str, project: str = "") -> ModelReference | None:
    """Parse a resource name, or the id of a model of `project`, with or without a revision."""
    if match := _PATH.fullmatch(text):
        return ModelReference(match[1], match[2], match[3])
    match = _ID.fullmatch(text)
    return ModelReference(project, match[1], match[2]) if match else None


def format_object_id(model: str | None, revision: str | None) -> str:
    """Format the id of a model in its project, as `parse_model_reference` reads it; empty without a model."""
    if not model:
        return ""
    return f"{model}/revisions/{revision}" if revision else model


class ModelObjectFinder:
    """Finds the objects of the models of one project."""

    def __init__(self, client: RestClient, root_client: RestClient, project: str) -> None:
        """`client` calls version 1 of the API, `root_client` paths with their version."""
        self._client = client
        self._root_client = root_client
        self._project = project

    async def find(self, name: str) -> ModelReference | None:
        """Return the object of a model: a fine-tuned model by its name, or a reference as it is."""
        known = parse_model_reference(name, self._project)
        return known or await self._find_output(name) or await self._find_by_name(name)

    async def get_base(self, reference: ModelReference) -> str | None:
        """Return the reference, or the id, of the model that this one derives from. Raises RemoteNotFound."""
        path = f"/v2/{reference.path}"
        async with self._root_client.read_call():
            found: TogetherModelObject = await self._root_client.get_decoded(MODEL_OBJECT_DECODER, path)
            check_id(reference.model, found.id, path)
        return found.base_model or found.base_model_id or None

    async def find_names(self, references: Iterable[ModelReference]) -> dict[ModelReference, str]:
        """Return the names of fine-tuned models by their objects; one whose fine-tune does not exist is left out."""
        missing = set(references)
        names: dict[ModelReference, str] = {}
        for job in await self._list_jobs() if missing else ():
            if not missing:
                break
            if not job.model_output_name:
                continue
            output = self._to_reference(await self._get_job(job.id))
            own = {each for each in missing if output is not None and each.is_same(output)}
            names |= dict.fromkeys(own, job.model_output_name)
            missing -= own
        return names

    async def _list_jobs(self) -> list[TogetherJob]:
        async with self._client.read_call():
            return await self._client.list_items(JOB_LIST_DECODER, "/fine-tunes")

    async def _get_job(self, job_id: str) -> TogetherJob:
        path = f"/fine-tunes/{job_id}"
        async with self._client.read_call():
            found = await self._client.get_decoded(JOB_DECODER, path)
            check_id(job_id, found.id, path)
        return found

    async def _find_output(self, name: str) -> ModelReference | None:
        """Return the object that the fine-tune with this output names. The list of fine-tunes does not show it."""
        job = next((each for each in await self._list_jobs() if each.model_output_name == name), None)
        return self._to_reference(await self._get_job(job.id)) if job else None

    def _to_reference(self, job: TogetherJob) -> ModelReference | None:
        """Return the merged model, or the adapter, which is merged into its base model when it is deployed."""
        if job.model_object_id:
            return ModelReference(self._project, job.model_object_id, job.model_object_revision_id or None)
        if job.adapter_object_id:
            return ModelReference(self._project, job.adapter_object_id, job.adapter_object_revision_id or None)
        return None

    async def _find_by_name(self, name: str) -> ModelReference | None:
        """Return the object with this name, of a model whose fine-tune does not exist any more."""
        path = f"/v2/projects/{self._project}/models"
        try:
            listed = await list_cursor_items(self._root_client, MODEL_OBJECT_PAGE_DECODER, path)
        except RemoteNotFound:
            return None
        return next((ModelReference(self._project, each.id) for each in listed if each.name == name), None)
