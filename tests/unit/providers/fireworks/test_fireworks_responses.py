"""Refusals of Fireworks: which of them mean that a thing is not there or not offered, and which are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from scripted_server import DEADLINE, JOB_ORDER, ScriptedServer, create_dataset_file

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import (
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RequestRejected,
    TemporaryError,
    TrainingNotAllowed,
    UnknownOutcome,
    WrongOrganization,
)
from orchestrator.core.structs import replace
from orchestrator.providers.base import DeploymentOrder

REFUSED = {"error": {"message": "refused"}}
MODELS = "GET /v1/accounts/fireworks/models"
JOB = "accounts/acme/supervisedFineTuningJobs/j"
DATASETS = "POST /v1/accounts/acme/datasets"
SHAPES = "POST /v1/accounts/acme/deploymentShapeVersions:match"
DEPLOYMENTS = "POST /v1/accounts/acme/deployments"

ORDER = DeploymentOrder(
    tag="0123456789abcdef.0",
    name="orch-x",
    model="m",
    base_model="base",
    spec=DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2),
    expires_at=0,
)


def connect(server: ScriptedServer) -> Any:
    return server.connect(ProviderName.FIREWORKS, organization="acme", base_url="https://fireworks.example/v1")


@pytest.mark.parametrize("status", [403, 404])
async def test_account_that_the_key_may_not_see_is_another_organization(status: int) -> None:
    refusal = httpx2.Response(status, json=REFUSED, headers={"x-request-id": "r-1"})
    with pytest.raises(WrongOrganization, match="may not see accounts/acme") as wrong:
        await connect(ScriptedServer({"GET /v1/accounts/acme": refusal})).verify()
    assert (wrong.value.account, wrong.value.request_id) == ("acme", "r-1")


@pytest.mark.parametrize(
    ("state", "kind"), [("BLOCKED_ABUSE", TrainingNotAllowed), ("BLOCKED_BALANCE", QuotaExhausted)]
)
async def test_suspended_account_is_held_by_its_name(state: str, kind: type[ProviderError]) -> None:
    server = ScriptedServer({"GET /v1/accounts/acme": (200, {"name": "accounts/acme", "suspendState": state})})
    with pytest.raises(kind, match=state) as held:
        await connect(server).verify()
    assert (type(held.value), held.value.account) == (kind, "acme")


@pytest.mark.parametrize("status", [400, 500])
async def test_no_bytes_are_sent_to_a_dataset_that_is_refused(tmp_path: Path, status: int) -> None:
    server = ScriptedServer({DATASETS: (status, REFUSED)})
    with pytest.raises(ProviderError):
        await connect(server).upload_file(create_dataset_file(tmp_path), DEADLINE)
    assert server.seen == [DATASETS]


async def test_server_without_a_list_of_models_has_no_suggestions() -> None:
    assert await connect(ScriptedServer({MODELS: (404, REFUSED)})).list_models() == []


async def test_error_of_the_list_of_models_is_an_error() -> None:
    with pytest.raises(ProviderUnavailable):
        await connect(ScriptedServer({MODELS: (500, REFUSED)})).list_models()


@pytest.mark.parametrize(
    "cost", [{"units": 10**400}, {"units": "much"}, {"units": [1]}, {"units": []}, {"nanos": {}}, "1", None]
)
async def test_price_that_is_no_number_is_unknown(cost: Any) -> None:
    shown = cost | {"currencyCode": "USD"} if isinstance(cost, dict) else cost
    server = ScriptedServer({f"GET /v1/{JOB}": (200, {"name": JOB, "estimatedCost": shown})})
    assert (await connect(server).get_job(JOB)).quoted_usd is None


@pytest.mark.parametrize(("status", "offered"), [(200, True), (409, True), (400, False), (404, False)])
async def test_rehearsal_decides_without_tested_shapes(status: int, *, offered: bool) -> None:
    server = ScriptedServer({SHAPES: (400, REFUSED), DEPLOYMENTS: (status, REFUSED)})
    assert len(await connect(server).list_deployment_options("base")) == offered


async def test_shape_is_refused_where_no_shapes_are_known() -> None:
    server = ScriptedServer({SHAPES: (404, REFUSED)})
    order = replace(ORDER, spec=replace(ORDER.spec, shape="fast"))
    with pytest.raises(RequestRejected, match="no shape fast for m; its shapes: none") as refused:
        await connect(server).create_deployment(order, DEADLINE)
    assert refused.value.account == "acme"
    assert server.seen == [SHAPES]


async def test_id_of_a_deleted_deployment_is_freed_and_the_create_is_tried_again() -> None:
    path = "accounts/acme/deployments/orch-x"
    deleted = {"name": path, "baseModel": "m", "state": "DELETED"}
    server = ScriptedServer(
        {
            DEPLOYMENTS: (409, REFUSED),
            f"GET /v1/{path}": (200, deleted),
            f"DELETE /v1/{path}": (200, {}),
        }
    )
    with pytest.raises(TemporaryError, match="still taken by a deleted deployment") as taken:
        await connect(server).create_deployment(ORDER, DEADLINE)
    assert (type(taken.value), taken.value.account) == (TemporaryError, "acme")
    assert server.seen[-1] == f"DELETE /v1/{path}"


async def test_existing_job_that_cannot_be_read_is_an_unknown_outcome() -> None:
    job = "accounts/acme/supervisedFineTuningJobs/orchestrator-0123456789abcdef-0"
    unread = httpx2.Response(500, json=REFUSED, headers={"x-request-id": "r-1"})
    server = ScriptedServer(
        {"POST /v1/accounts/acme/supervisedFineTuningJobs": (409, REFUSED), f"GET /v1/{job}": unread}
    )
    with pytest.raises(UnknownOutcome, match="exists already and cannot be read") as unknown:
        await connect(server).create_job(JOB_ORDER, DEADLINE)
    assert (unknown.value.account, unknown.value.request_id) == ("acme", "r-1")
