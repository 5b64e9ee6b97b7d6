"""Refusals of Bedrock: where their code is, and which mean that a name is taken or a deployment is not ready."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from scripted_server import DEADLINE, JOB_ORDER, ScriptedServer

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.errors import (
    DeploymentNotReady,
    JobLimitReached,
    ProviderUnavailable,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.providers.base import DeploymentOrder

JOBS = "POST /model-customization-jobs"
JOB = "GET /model-customization-jobs/orchestrator-0123456789abcdef-0"
DEPLOYMENTS = "POST /model-customization/custom-model-deployments"
DEPLOYMENT = "GET /model-customization/custom-model-deployments/orch-x"
ORDER = DeploymentOrder(
    tag="0123456789abcdef.0",
    name="orch-x",
    model="arn:aws:bedrock:us-west-2:1:custom-model/m",
    base_model="base",
    spec=DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=2),
    expires_at=0,
)
REMOTE = RemoteDeployment(id="arn-1", status=RemoteDeploymentStatus.RUNNING, raw_status="", model="m")
FULL = "ServiceQuotaExceededException"


def connect(server: ScriptedServer) -> Any:
    return server.connect(
        ProviderName.BEDROCK,
        key="AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        base_url="https://bedrock.example",
        region="us-west-2",
        role_arn="arn:aws:iam::1:role/r",
        bucket="b",
    )


def refuse(code: str, status: int = 400, **headers: str) -> httpx2.Response:
    headers = {"x-amzn-errortype": code} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json={"message": "no"}, headers=headers)


@pytest.mark.parametrize(
    ("header", "content", "text"),
    [
        (f"{FULL}:http://internal.amazon.com/", b'{"message": "Too many."}', "Too many."),
        (FULL, b'{"Message": "Too many."}', "Too many."),
        (f"aws.bedrock#{FULL}:http://internal.amazon.com/", b'{"message": "Too many."}', "Too many."),
        (FULL, b'{"message": null}', '{"message": null}'),
        (FULL, b"<html>Too many.</html>", "<html>Too many.</html>"),
        (FULL, b"", FULL),
        (None, f'{{"__type": "com.amazon.coral#{FULL}", "message": "Too many."}}'.encode(), "Too many."),
        (None, f'{{"code": "{FULL}", "message": "Too many."}}'.encode(), "Too many."),
    ],
)
async def test_code_decides_wherever_it_is_and_without_a_message(
    header: str | None, content: bytes, text: str
) -> None:
    """Of a refusal without its code a full quota would be a final failure, and a name that is taken, too."""
    refusal = httpx2.Response(400, content=content, headers={"x-amzn-errortype": header} if header else {})
    with pytest.raises(JobLimitReached) as refused:
        await connect(ScriptedServer({JOBS: refusal})).create_job(JOB_ORDER, DEADLINE)
    assert refused.value.code == FULL
    assert refused.value.message.startswith(f"400 {FULL}: {text}" if content else f"400 {FULL}: at ")


async def test_other_object_in_the_code_is_no_code() -> None:
    refusal = httpx2.Response(400, json={"__type": ["x"], "message": {"a": 1}})
    with pytest.raises(RequestRejected):
        await connect(ScriptedServer({JOBS: refusal})).create_job(JOB_ORDER, DEADLINE)


@pytest.mark.parametrize("code", ["ValidationException", "ConflictException"])
async def test_refused_create_is_a_job_that_exists(code: str) -> None:
    job = {"jobArn": "arn-1", "jobName": JOB.rpartition("/")[2], "status": "InProgress"}
    server = ScriptedServer({JOBS: refuse(code), JOB: (200, job)})
    assert (await connect(server).create_job(JOB_ORDER, DEADLINE)).id == "arn-1"


@pytest.mark.parametrize(
    ("code", "error"), [("ValidationException", RequestRejected), ("ConflictException", UnknownOutcome)]
)
async def test_taken_name_of_a_job_that_cannot_be_found_yet_is_an_unknown_outcome(
    code: str, error: type[Exception]
) -> None:
    """The job may be the one of a lost create, which a read does not show yet: it is paid for."""
    missing = refuse("ResourceNotFoundException", 404)
    with pytest.raises(error, match="no job has its name yet" if error is UnknownOutcome else code):
        await connect(ScriptedServer({JOBS: refuse(code), JOB: missing})).create_job(JOB_ORDER, DEADLINE)


@pytest.mark.parametrize("code", ["ValidationException", "ConflictException"])
async def test_refused_create_is_a_deployment_that_exists(code: str) -> None:
    found = {"customModelDeploymentArn": "arn-1", "modelDeploymentName": "orch-x", "modelArn": ORDER.model}
    server = ScriptedServer({DEPLOYMENTS: refuse(code), DEPLOYMENT: (200, found)})
    assert (await connect(server).create_deployment(ORDER, DEADLINE)).id == "arn-1"


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_refused_create_that_cannot_be_explained_is_an_unknown_outcome(status: int) -> None:
    unread = httpx2.Response(status, json={"message": "no"}, headers={"x-request-id": "r-1"})
    taken = refuse("ConflictException")
    server = ScriptedServer({JOBS: taken, JOB: unread, DEPLOYMENTS: taken, DEPLOYMENT: unread})
    provider = connect(server)
    for create in (provider.create_job(JOB_ORDER, DEADLINE), provider.create_deployment(ORDER, DEADLINE)):
        with pytest.raises(UnknownOutcome, match="cannot be read") as unknown:
            await create
        assert (unknown.value.account, unknown.value.request_id) == ("acme", "r-1")


async def test_deployment_that_is_not_found_by_a_call_is_not_ready() -> None:
    server = ScriptedServer(
        {"POST /model/arn-1/converse": refuse("ResourceNotFoundException", 404, x_request_id="r-1")}
    )
    with pytest.raises(DeploymentNotReady) as unready:
        await connect(server).call_deployment(REMOTE)
    assert (unready.value.account, unready.value.request_id) == ("acme", "r-1")


async def test_part_of_a_response_is_not_used() -> None:
    with pytest.raises(ProviderUnavailable):
        await connect(ScriptedServer({JOB: (206, {"jobArn": "arn-1"})})).find_jobs(JOB_ORDER)


@pytest.mark.parametrize("code", ["ValidationException", "TooManyTagsException"])
async def test_only_a_name_that_no_model_could_have_is_an_unknown_model(code: str) -> None:
    provider = connect(ScriptedServer({"GET /foundation-models/base": refuse(code)}))
    if code == "ValidationException":
        assert await provider.find_model("base") is None
    else:
        with pytest.raises(RequestRejected, match=code):
            await provider.find_model("base")
