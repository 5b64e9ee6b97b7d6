"""Refusals of Nebius to serve a model."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_server import DEADLINE, ScriptedServer

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import RequestRejected
from orchestrator.providers.base import DeploymentOrder

JOBS = "GET /v1/fine_tuning/jobs"
CHECKPOINTS = f"{JOBS}/ftjob-1/checkpoints"
ORDER = DeploymentOrder(
    tag="0123456789abcdef.0",
    name="orch-x",
    model="ftjob-1:ckpt-1",
    base_model="base",
    spec=DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=2),
    expires_at=0,
)


async def refuse(steps: dict[str, Any]) -> RequestRejected:
    provider = ScriptedServer(steps).connect(ProviderName.NEBIUS, base_url="https://nebius.example/v1")
    with pytest.raises(RequestRejected) as refused:
        await provider.create_deployment(ORDER, DEADLINE)
    assert refused.value.account == "acme"
    return refused.value


async def test_model_of_no_job_is_refused_for_the_account() -> None:
    refusal = await refuse({JOBS: (200, {"data": [], "has_more": False})})
    assert "no fine-tuning job of the account has the checkpoint ftjob-1:ckpt-1" in refusal.message


async def test_model_that_is_not_served_keeps_the_code_of_its_refusal() -> None:
    job = {"id": "ftjob-1", "status": "succeeded", "model": "base", "training_file": "file-1"}
    refusal = await refuse(
        {
            JOBS: (200, {"data": [job], "has_more": False}),
            CHECKPOINTS: (200, {"data": [{"id": "ckpt-1"}], "has_more": False}),
            "POST /v0/models": (404, {"error": {"code": "no_such_route", "message": "no"}}),
        }
    )
    assert refusal.code == "no_such_route"
