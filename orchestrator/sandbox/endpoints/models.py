"""The models endpoints: base models, and the fine-tuned models of the account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.records import SandboxJob
from orchestrator.sandbox.response import ApiResponse, SandboxApiError
from orchestrator.sandbox.simulation.job_progress import list_checkpoint_models
from orchestrator.sandbox.simulation.model_catalogue import CATALOGUE, CatalogueModel, find_base_model


async def list_models(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/models."""
    models = [_base_model_to_json(model) for model in CATALOGUE.values()]
    models += [_fine_tuned_model_to_json(call, job) for job in _list_finished_jobs(call)]
    return ApiResponse({"object": "list", "data": models})


async def retrieve_model(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/models/{model}."""
    name = call.get_path_parameter("model")
    if (base := find_base_model(name)) is not None:
        return ApiResponse(_base_model_to_json(base))
    if (job := find_fine_tuning_job(call, name)) is not None:
        return ApiResponse(_fine_tuned_model_to_json(call, job) | {"id": name})
    raise model_not_found(name)


async def delete_model(call: ApiCall) -> ApiResponse:
    """Handle DELETE /v1/models/{model}."""
    name = call.get_path_parameter("model")
    job = next((job for job in _list_finished_jobs(call) if job.fine_tuned_model == name), None)
    if job is None:
        raise model_not_found(name)
    call.state.jobs.save(replace(job, model_deleted=True))
    return ApiResponse({"id": name, "object": "model", "deleted": True})


def find_fine_tuning_job(call: ApiCall, name: str) -> SandboxJob | None:
    """Return the caller's job that created this model or checkpoint, once the model is available."""
    if not name.startswith("ft:"):
        return None
    matching = (
        job
        for job in _list_finished_jobs(call)
        if name == job.fine_tuned_model or name in list_checkpoint_models(job)
    )
    return next(matching, None)


def model_not_found(name: str) -> SandboxApiError:
    """Build a 404: the account of this key has no such model."""
    message = f"The model '{name}' does not exist or you do not have access to it."
    return SandboxApiError(404, message, param="model", code="model_not_found")


def _list_finished_jobs(call: ApiCall) -> Iterator[SandboxJob]:
    timelines = call.state.get_timelines(call.account)
    for job in call.state.jobs.of(call.account).values():
        if timelines[job.id].model_available <= call.now and not job.model_deleted:
            yield job


def _base_model_to_json(model: CatalogueModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "system",
        "shutdown_date": model.shutdown_date,
    }


def _fine_tuned_model_to_json(call: ApiCall, job: SandboxJob) -> dict[str, Any]:
    base = find_base_model(job.fine_tuned_model.split(":")[1])
    return {
        "id": job.fine_tuned_model,
        "object": "model",
        "created": int(call.state.get_timelines(call.account)[job.id].model_available),
        "owned_by": call.caller.organization,
        "shutdown_date": base.shutdown_date if base else None,
    }
