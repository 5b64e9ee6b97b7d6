"""Responses of DashScope with status 200 that report an error."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_server import DEADLINE, JOB_ORDER, ScriptedServer

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ProviderUnavailable, RequestRejected, UnknownOutcome

JOB = {"job_id": "ft-1", "status": "PENDING", "training_file_ids": ["file-1"]}
EMPTY = {"files": [], "jobs": [], "total": 0}


def connect(server: ScriptedServer) -> Any:
    return server.connect(ProviderName.DASHSCOPE, base_url="https://dashscope.example/api/v1")


@pytest.mark.parametrize("report", [{"code": "InternalError"}, {"error": {"message": "try later"}}])
async def test_list_that_reports_an_error_is_not_an_empty_list(report: dict[str, Any]) -> None:
    page = {"data": EMPTY, "output": EMPTY} | report
    provider = connect(ScriptedServer({"GET /api/v1/files": (200, page), "GET /api/v1/fine-tunes": (200, page)}))
    with pytest.raises(ProviderUnavailable, match="it reports an error"):
        await provider.find_jobs(JOB_ORDER)


async def test_created_job_that_reports_an_error_is_an_unknown_outcome() -> None:
    server = ScriptedServer({"POST /api/v1/fine-tunes": (200, {"output": JOB, "code": "InternalError"})})
    with pytest.raises(UnknownOutcome):
        await connect(server).create_job(JOB_ORDER, DEADLINE)


@pytest.mark.parametrize(("code", "requests"), [("InvalidParameter", 2), ("ModelNotFound", 1)])
async def test_create_is_repeated_without_optional_fields_only_if_a_parameter_is_refused(
    code: str, requests: int
) -> None:
    server = ScriptedServer({"POST /api/v1/fine-tunes": (400, {"code": code, "message": "no"})})
    with pytest.raises(RequestRejected):
        await connect(server).create_job(JOB_ORDER, DEADLINE)
    assert len(server.requests) == requests
