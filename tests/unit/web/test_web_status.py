from __future__ import annotations

import asyncio

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount
from web_application import create_app
from web_values import HEALTHY, REFUSED, WebServiceDouble, job, ready, run, status

from orchestrator.core.errors import Failure, OrchestratorError
from orchestrator.core.structs import replace
from orchestrator.status import Health, status_to_dict
from orchestrator.web.app import MAX_UNCHUNKED_BYTES
from orchestrator.web.app import create_app as create_program_app


async def test_status_contains_the_read_model_and_the_problem() -> None:
    service = WebServiceDouble(ready("a"), job("b", "planned", held=True, error=REFUSED))
    async with service.client() as client:
        answer = await client.get("/status")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert isinstance(service.status, type(status()))
    assert answer.json() == status_to_dict(service.status) | {"problem": None}
    assert answer.json()["jobs"][1]["error"]["hint"] == "Ask for `train`."


async def test_status_explains_why_the_accounts_file_is_not_active() -> None:
    service = WebServiceDouble(ready("a"))
    service.health = Health(database=True, ticking=True, problem=Failure("config_error", "line 3", "Correct it."))
    async with service.client() as client:
        answer = await client.get("/status")
    problem = answer.json()["problem"]
    assert (problem["kind"], problem["message"], problem["hint"]) == ("config_error", "line 3", "Correct it.")


@pytest.mark.parametrize("held", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
async def test_unchanged_status_is_304(held: str) -> None:
    async with WebServiceDouble(ready("a")).client() as client:
        tag = (await client.get("/status")).headers["etag"]
        again = await client.get("/status", headers={"If-None-Match": held.format(tag=tag)})
    assert tag.startswith('"')
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


async def test_changed_status_is_sent() -> None:
    service = WebServiceDouble(job("a", "running"))
    async with service.client() as client:
        tag = (await client.get("/status")).headers["etag"]
        service.status = status(ready("a"))
        again = await client.get("/status", headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


async def test_large_status_is_sent_in_pieces_with_its_length() -> None:
    service = WebServiceDouble(*(ready(f"a{number}") for number in range(1000)))
    async with service.client() as client:
        answer = await client.get("/status")
        again = await client.get("/status", headers={"If-None-Match": answer.headers["etag"]})
    assert len(answer.content) > MAX_UNCHUNKED_BYTES
    assert answer.headers["content-length"] == str(len(answer.content))
    assert len(answer.json()["jobs"]) == 1000
    assert (again.status_code, again.content) == (304, b"")


async def test_status_of_several_runs_has_them_all_or_the_selected_one() -> None:
    service = WebServiceDouble()
    shown = status(job("a", "running", run="run-1"), ready("a", run="run-2"))
    service.status = replace(shown, other_runs=(run(id="run-2", name="facts"),))
    async with service.client() as client:
        whole, one, missing = [await client.get(f"/status{query}") for query in ("", "?run=facts", "?run=fact")]
    assert (whole.json()["schema"], [each["run"]["name"] for each in whole.json()["runs"]]) == (
        2,
        ["support-tone", "facts"],
    )
    assert (one.json()["schema"], one.json()["run"]["name"], one.json()["counts"]) == (1, "facts", {"succeeded": 1})
    assert whole.headers["etag"] != one.headers["etag"]
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no current run fact.")


async def test_livez_is_200_during_an_outage() -> None:
    service = WebServiceDouble()
    service.health = Health(database=False, ticking=False)
    service.status = RuntimeError("no database")
    async with service.client() as client:
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("health", "code"),
    [
        (HEALTHY, 200),
        (Health(database=False, ticking=True, reason="the database does not answer"), 503),
        (Health(database=True, ticking=False, reason="the service has not ticked for 31 s"), 503),
    ],
)
async def test_readyz_names_the_failing_part(health: Health, code: int) -> None:
    service = WebServiceDouble()
    service.health = health
    async with service.client() as client:
        answer = await client.get("/readyz")
    assert answer.status_code == code
    assert answer.json() == {
        "ready": code == 200,
        "database": health.database,
        "ticking": health.ticking,
        "reason": health.reason,
    }


async def test_errors_are_problem_details_with_a_hint() -> None:
    service = WebServiceDouble()
    async with service.client() as client:
        missing = await client.get("/nowhere")
        wrong = await client.delete("/status")
        service.status = OrchestratorError("the disk is full", hint="Make room.")
        known = await client.get("/status")
        service.status = RuntimeError("canary: internals")
        unknown = await client.get("/status")
    assert all(
        each.headers["content-type"] == "application/problem+json" for each in (missing, wrong, known, unknown)
    )
    assert missing.json()["status"] == 404
    assert "/status" in missing.json()["hint"]
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert known.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "the disk is full",
        "kind": "orchestrator_error",
        "hint": "Make room.",
    }
    assert unknown.json()["hint"]
    assert "canary" not in unknown.text


async def test_conditional_requests_are_independent() -> None:
    service = WebServiceDouble(*(ready(f"a{number}") for number in range(20)))
    async with service.client() as client:
        answers = await asyncio.gather(*(client.get("/status") for _ in range(20)))
    assert len({answer.headers["etag"] for answer in answers}) == 1


@pytest.mark.parametrize("path", ["/status", "/api/v1/jobs", "/"])
async def test_applications_of_the_tests_share_no_state(path: str) -> None:
    services = [WebServiceDouble(ready("acme")), WebServiceDouble(ready("globex"))]
    pages = []
    for service in (*services, services[0]):
        async with service.client() as client:
            pages.append((await client.get(path)).text)
    assert ["acme" in page for page in pages] == [True, False, True]
    assert ["globex" in page for page in pages] == [False, True, False]


async def test_application_of_the_tests_has_the_dependencies_of_its_own_routes() -> None:
    failing, service = WebServiceDouble(), WebServiceDouble()
    failing.status = OrchestratorError("the disk is full", hint="Make room.")
    codes = []
    for each in (failing, service):
        async with each.client() as client:
            codes.append((await client.get("/help")).status_code)  # asks the database for the choice of runs only
    assert codes == [500, 200]


def test_application_of_the_tests_is_that_of_the_program() -> None:
    backend = WebServiceDouble(ready("acme")).program()
    documents = [build(backend).openapi() for build in (create_app, create_app, create_program_app)]
    assert documents[0] == documents[1] == documents[2]


def test_each_route_is_built_once() -> None:
    routes = create_program_app(WebServiceDouble(ready("acme")).program()).routes
    assert {type(route) for route in routes} == {APIRoute, Mount}, "FastAPI builds those of an included router again"
