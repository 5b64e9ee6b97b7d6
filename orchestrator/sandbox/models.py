"""The models endpoints: the catalogue, and what the account has trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from orchestrator.sandbox.answer import Answer, Refusal
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.catalogue import CATALOGUE, BaseModel, base_model
from orchestrator.sandbox.progress import checkpoint_models
from orchestrator.sandbox.records import Job


async def list_models(call: Call) -> Answer:
    """GET /v1/models."""
    models = [_base_body(model) for model in CATALOGUE.values()]
    models += [_tuned_body(call, job) for job in _tuned(call)]
    return Answer({"object": "list", "data": models})


async def retrieve_model(call: Call) -> Answer:
    """GET /v1/models/{model}."""
    name = call.path("model")
    if (base := base_model(name)) is not None:
        return Answer(_base_body(base))
    if (job := find_fine_tuned(call, name)) is not None:
        return Answer(_tuned_body(call, job) | {"id": name})
    raise no_model(name)


async def delete_model(call: Call) -> Answer:
    """DELETE /v1/models/{model}."""
    name = call.path("model")
    job = next((job for job in _tuned(call) if job.fine_tuned_model == name), None)
    if job is None:
        raise no_model(name)
    call.world.jobs.save(replace(job, model_deleted=True))
    return Answer({"id": name, "object": "model", "deleted": True})


def find_fine_tuned(call: Call, name: str) -> Job | None:
    """The caller's job that made this model or checkpoint, once it can be called."""
    if not name.startswith("ft:"):
        return None
    made = (job for job in _tuned(call) if name == job.fine_tuned_model or name in checkpoint_models(job))
    return next(made, None)


def no_model(name: str) -> Refusal:
    """404: no model of that id, as far as this key can see."""
    message = f"The model '{name}' does not exist or you do not have access to it."
    return Refusal(404, message, param="model", code="model_not_found")


def _tuned(call: Call) -> Iterator[Job]:
    timelines = call.world.timelines(call.account)
    for job in call.world.jobs.of(call.account).values():
        if timelines[job.id].model_from <= call.now and not job.model_deleted:
            yield job


def _base_body(model: BaseModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "system",
        "shutdown_date": model.shutdown_date,
    }


def _tuned_body(call: Call, job: Job) -> dict[str, Any]:
    base = base_model(job.fine_tuned_model.split(":")[1])
    return {
        "id": job.fine_tuned_model,
        "object": "model",
        "created": int(call.world.timelines(call.account)[job.id].model_from),
        "owned_by": call.caller.organization,
        "shutdown_date": base.shutdown_date if base else None,
    }
