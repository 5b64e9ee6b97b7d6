"""Refusals of Together: which of them have another way, which mean that a thing is gone, and which are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from scripted_server import DEADLINE, JOB_ORDER, ScriptedServer, Step, create_dataset_file

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import (
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.structs import replace
from orchestrator.providers.base import DeploymentOrder

FILE = {"id": "file-1", "filename": "orchestrator-1.jsonl", "bytes": 3, "processed": True}
REFUSED = {"error": {"message": "refused"}}
ENDPOINTS = "/v2/projects/p/endpoints"
ENDPOINT = f"{ENDPOINTS}/ep"
DEPLOYMENT = f"{ENDPOINT}/deployments/dep"
ENDPOINT_NAME = "orch-0123456789abcdef-0"
DEPLOYMENTS = f"{ENDPOINT}/deployments"
ORDER = DeploymentOrder(
    tag="0123456789abcdef.0",
    name=ENDPOINT_NAME,
    model="ml_1",
    base_model="base",
    spec=DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2),
    expires_at=0,
)
PRICES = "/v2/public/inference-instance-types"
REMOTE = RemoteDeployment(id="ep/dep", status=RemoteDeploymentStatus.RUNNING, raw_status="", model="m")


def connect(server: ScriptedServer) -> Any:
    return server.connect(ProviderName.TOGETHER, project="p")


def describe(state: str) -> dict[str, Any]:
    return {"id": "dep", "name": "p/ep/dep", "model": "m", "status": {"state": f"DEPLOYMENT_STATE_{state}"}}


def script_removal(state: str, refusal: int, **others: Step) -> ScriptedServer:
    """Return a server with a deployment whose removal it refuses."""
    steps: dict[str, Any] = {
        f"GET {DEPLOYMENT}": (200, describe(state)),
        f"GET {ENDPOINT}": (200, {"id": "ep", "name": "p/ep"}),
        f"DELETE {DEPLOYMENT}": (refusal, REFUSED),
        f"DELETE {ENDPOINT}": (200, {}),
        f"PATCH {DEPLOYMENT}": (200, {}),
    }
    return ScriptedServer(steps | others)


async def test_owner_of_the_key_is_read_from_the_version_that_has_it() -> None:
    owner = {"organization": {"id": "org-1"}, "project": {"id": "p-1"}}
    server = ScriptedServer({"GET /v3/whoami": (404, REFUSED), "GET /v1/whoami": (200, owner)})
    assert (await connect(server).verify()).organization == "org-1"


@pytest.mark.parametrize("status", [404, 405])
async def test_server_without_the_redirect_gets_the_file_as_a_form(tmp_path: Path, status: int) -> None:
    server = ScriptedServer({"POST /v1/files": (status, REFUSED), "POST /v1/files/upload": (200, FILE)})
    made = await connect(server).upload_file(create_dataset_file(tmp_path), DEADLINE)
    assert (made.id, made.filename) == ("file-1", "orchestrator-1.jsonl")
    upload = server.requests[1]
    assert b'name="file"; filename="orchestrator-1.jsonl"\r\n' in upload.content
    assert b"Content-Type: application/jsonl\r\n\r\n{}\n" in upload.content
    assert b'name="purpose"\r\n\r\nfine-tune\r\n' in upload.content
    assert upload.extensions["timeout"]["read"] is None  # the deadline of the call is its limit


@pytest.mark.parametrize("status", [400, 422])
async def test_file_that_is_refused_is_not_sent_another_way(tmp_path: Path, status: int) -> None:
    server = ScriptedServer({"POST /v1/files": (status, REFUSED)})
    with pytest.raises(RequestRejected):
        await connect(server).upload_file(create_dataset_file(tmp_path), DEADLINE)
    assert server.seen == ["POST /v1/files"]


async def test_conflict_without_the_id_of_the_file_is_an_unknown_outcome(tmp_path: Path) -> None:
    server = ScriptedServer({"POST /v1/files": (409, REFUSED)})
    with pytest.raises(UnknownOutcome):
        await connect(server).upload_file(create_dataset_file(tmp_path), DEADLINE)
    assert server.seen == ["POST /v1/files"]


@pytest.mark.parametrize("status", [404, 405])
async def test_server_that_completes_uploads_by_itself_is_asked_for_the_file(tmp_path: Path, status: int) -> None:
    server = ScriptedServer(
        {
            "POST /v1/files": (409, {"file_id": "file-1"}),
            "POST /v1/files/file-1/preprocess": (status, REFUSED),
            "GET /v1/files/file-1": (200, FILE),
        }
    )
    assert (await connect(server).upload_file(create_dataset_file(tmp_path), DEADLINE)).id == "file-1"


async def test_refused_completion_is_not_taken_for_a_complete_file(tmp_path: Path) -> None:
    server = ScriptedServer(
        {"POST /v1/files": (409, {"file_id": "file-1"}), "POST /v1/files/file-1/preprocess": (422, REFUSED)}
    )
    with pytest.raises(RequestRejected):
        await connect(server).upload_file(create_dataset_file(tmp_path), DEADLINE)


async def test_refused_estimate_holds_the_account_by_its_name() -> None:
    server = ScriptedServer({"POST /v1/fine-tunes/estimate-price": (200, {"allowed_to_proceed": False})})
    with pytest.raises(QuotaExhausted) as refusal:
        await connect(server).create_job(JOB_ORDER, DEADLINE)
    assert refusal.value.account == "acme"
    assert server.seen == ["POST /v1/fine-tunes/estimate-price"]


async def test_server_without_a_list_of_models_has_no_suggestions() -> None:
    assert await connect(ScriptedServer({"GET /v1/fine-tunes/models/supported": (404, REFUSED)})).list_models() == []


async def test_list_with_an_error_is_not_an_empty_list() -> None:
    server = ScriptedServer({f"GET {ENDPOINTS}": (200, {"data": [], "error": {"message": "try later"}})})
    with pytest.raises(ProviderUnavailable, match="try later"):
        await connect(server).list_own_deployments()


async def test_model_without_an_object_is_a_refusal_with_the_project() -> None:
    server = ScriptedServer({"GET /v1/fine-tunes": (200, {"data": []}), "GET /v2/projects/p/models": (404, REFUSED)})
    with pytest.raises(RequestRejected, match=r"no object of the model acme/m in the project p"):
        await connect(server).create_deployment(replace(ORDER, model="acme/m"), DEADLINE)


@pytest.mark.parametrize("status", [400, 409, 412])
async def test_failed_deployment_that_cannot_be_deleted_is_stopped(status: int) -> None:
    server = script_removal("FAILED", status)
    await connect(server).remove_deployment(REMOTE)
    assert server.seen[-2:] == [f"DELETE {DEPLOYMENT}", f"PATCH {DEPLOYMENT}"]


@pytest.mark.parametrize(("state", "status"), [("FAILED", 401), ("STOPPED", 409), ("STOPPED", 500)])
async def test_refused_removal_is_an_error(state: str, status: int) -> None:
    server = script_removal(state, status)
    with pytest.raises(ProviderError):
        await connect(server).remove_deployment(REMOTE)
    assert server.seen[-1] == f"DELETE {DEPLOYMENT}"


async def test_endpoint_of_a_deployment_that_was_deleted_meanwhile_is_deleted() -> None:
    server = script_removal("STOPPED", 404)
    await connect(server).remove_deployment(REMOTE)
    assert server.seen[-2:] == [f"DELETE {DEPLOYMENT}", f"DELETE {ENDPOINT}"]


@pytest.mark.parametrize("status", [200, 400, 404, 409, 412])
async def test_endpoint_of_a_deployment_that_is_gone_is_deleted_if_nothing_else_is_in_it(status: int) -> None:
    server = ScriptedServer({f"GET {DEPLOYMENT}": (404, REFUSED), f"DELETE {ENDPOINT}": (status, REFUSED)})
    await connect(server).remove_deployment(REMOTE)
    assert server.seen == [f"GET {DEPLOYMENT}", f"DELETE {ENDPOINT}"]


async def test_endpoint_that_cannot_be_deleted_now_is_an_error() -> None:
    server = ScriptedServer({f"GET {DEPLOYMENT}": (404, REFUSED), f"DELETE {ENDPOINT}": (503, REFUSED)})
    with pytest.raises(ProviderUnavailable):
        await connect(server).remove_deployment(REMOTE)


@pytest.mark.parametrize("cleanup", [(200, {}), (500, REFUSED), httpx2.ReadError("cut"), OSError("no file left")])
async def test_refusal_of_a_deployment_is_reported_however_the_removal_of_its_endpoint_ends(cleanup: Step) -> None:
    server = ScriptedServer(
        {
            "GET /v2/projects/p/models/ml_1": (200, {"id": "ml_1"}),
            "GET /v2/projects/p/configs": (200, {"data": [{"id": "cr_1", "projectId": "p"}]}),
            f"GET {PRICES}": (200, {"data": []}),
            f"GET {ENDPOINTS}": (200, {"data": []}),
            f"POST {ENDPOINTS}": (200, {"id": "ep", "name": f"p/{ENDPOINT_NAME}"}),
            f"POST {DEPLOYMENTS}": (400, {"error": {"message": "no capacity"}}),
            f"DELETE {ENDPOINT}": cleanup,
        }
    )
    with pytest.raises(RequestRejected, match="no capacity"):
        await connect(server).create_deployment(ORDER, DEADLINE)
    assert server.seen[-1] == f"DELETE {ENDPOINT}"


async def test_endpoint_that_was_deleted_meanwhile_has_no_deployments() -> None:
    server = ScriptedServer(
        {
            f"GET {ENDPOINTS}": (200, {"data": [{"id": "ep", "name": f"p/{ENDPOINT_NAME}"}]}),
            f"GET {DEPLOYMENTS}": (404, REFUSED),
            f"GET {PRICES}": (200, {"data": []}),
        }
    )
    search = await connect(server).find_deployments(ORDER)
    assert (search.found, search.named) == ((), None)
    assert await connect(server).list_own_deployments() == []


async def test_deployment_without_a_list_of_prices_has_no_price() -> None:
    server = ScriptedServer(
        {
            f"GET {ENDPOINTS}": (200, {"data": [{"id": "ep", "name": f"p/{ENDPOINT_NAME}"}]}),
            f"GET {DEPLOYMENTS}": (200, {"data": [describe("READY") | {"hardware": "1xh100"}]}),
            "GET /v2/projects/p/models/ml_1": (200, {"id": "ml_1"}),
            f"GET {PRICES}": (404, REFUSED),
        }
    )
    search = await connect(server).find_deployments(ORDER)
    assert search.named is not None
    assert search.named.usd_per_hour is None
