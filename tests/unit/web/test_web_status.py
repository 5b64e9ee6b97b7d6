from __future__ import annotations

import asyncio

import pytest
from web_values import FINE, REFUSED, Service, job, ready, status

from orchestrator.core.errors import Failure, OrchestratorError
from orchestrator.status import Health, status_to_dict


async def test_status_is_the_read_model_and_the_problem() -> None:
    service = Service(ready("a"), job("b", "planned", held=True, error=REFUSED))
    async with service.client() as client:
        answer = await client.get("/status")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert isinstance(service.status, type(status()))
    assert answer.json() == status_to_dict(service.status) | {"problem": None}
    assert answer.json()["jobs"][1]["error"]["hint"] == "Ask for `train`."


async def test_status_tells_why_the_accounts_file_is_not_in_force() -> None:
    service = Service(ready("a"))
    service.health = Health(database=True, ticking=True, problem=Failure("config_error", "line 3", "Correct it."))
    async with service.client() as client:
        answer = await client.get("/status")
    problem = answer.json()["problem"]
    assert (problem["kind"], problem["message"], problem["hint"]) == ("config_error", "line 3", "Correct it.")


@pytest.mark.parametrize("held", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
async def test_what_is_held_is_not_sent_again(held: str) -> None:
    async with Service(ready("a")).client() as client:
        tag = (await client.get("/status")).headers["etag"]
        again = await client.get("/status", headers={"If-None-Match": held.format(tag=tag)})
    assert tag.startswith('"')
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


async def test_a_change_is_sent() -> None:
    service = Service(job("a", "running"))
    async with service.client() as client:
        tag = (await client.get("/status")).headers["etag"]
        service.status = status(ready("a"))
        again = await client.get("/status", headers={"If-None-Match": tag})
    assert again.status_code == 200
    assert again.headers["etag"] != tag


async def test_alive_even_when_nothing_works() -> None:
    service = Service()
    service.health = Health(database=False, ticking=False)
    service.status = RuntimeError("no database")
    async with service.client() as client:
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("health", "code"),
    [
        (FINE, 200),
        (Health(database=False, ticking=True, reason="the database does not answer"), 503),
        (Health(database=True, ticking=False, reason="the service has not ticked for 31 s"), 503),
    ],
)
async def test_ready_says_which_part_is_not(health: Health, code: int) -> None:
    service = Service()
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
    service = Service()
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


async def test_readers_do_not_disturb_each_other() -> None:
    service = Service(*(ready(f"a{number}") for number in range(20)))
    async with service.client() as client:
        answers = await asyncio.gather(*(client.get("/status") for _ in range(20)))
    assert len({answer.headers["etag"] for answer in answers}) == 1
