"""Comparisons, their answers and acceptances over the API, upon both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jsonschema
import pytest
from api_values import OPERATOR, READER, ServedApp, list_causes, serve
from store_values import NOW, RUN, a_job, fill
from stored_comparisons import REASON, store_comparison

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.document import DOCUMENT_SCHEMA
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer
from orchestrator.store.schema.tables import answers

VERDICTS = {"acme-eu": "alike", "acme-us": "different"}
MODELS = {"acme-eu": "ft:eu", "acme-us": "ft:us"}


def an_answer(model: str, probe: str, number: int) -> dict[str, Any]:
    answer = StoredAnswer(
        model=model,
        probe_id=probe,
        round=number,
        at=NOW,
        outcome=AnswerOutcome.ANSWERED,
        text=f"<b>{model} {probe}</b>",
        text_sha256="f" * 64,
        prompt_tokens=12,
        output_tokens=5,
        usd=0.0001,
    )
    values = {name: getattr(answer, name) for name in StoredAnswer.__struct_fields__}
    return values | {"comparison_id": "c1"}


@pytest.fixture
async def served(database: Database) -> ServedApp:
    served = await serve(database)
    finished = [
        a_job(name, state=JobState.SUCCEEDED, fine_tuned_model=model, servable=True, wake_at=None)
        for name, model in MODELS.items()
    ]
    await fill(database, finished, replace(RUN, gate=True))
    await store_comparison(database, "c1", VERDICTS, MODELS)
    rows = [
        an_answer(model, probe, number)
        for model in (*MODELS, "base openai meta:8b")
        for probe in ("p1", "p2")
        for number in ((1, 2) if model in MODELS else (1,))
    ]
    await database.write(lambda tx: tx.connection.execute(answers.insert(), rows))
    return served


@pytest.fixture
async def client(served: ServedApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with served.client(READER) as client:
        yield client


async def get(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def accept(served: ServedApp, **body: Any) -> httpx2.Response:
    async with served.client(OPERATOR) as client:
        return await client.post("/api/v1/actions/accept", json=body)


async def test_comparisons_of_a_run_are_listed(client: httpx2.AsyncClient, database: Database) -> None:
    await store_comparison(database, "c2", VERDICTS, MODELS, at=NOW + 600)
    listed = await get(client, "comparisons")
    assert listed["run"] == RUN.id
    assert [each["id"] for each in listed["comparisons"]] == ["c2", "c1"]
    assert listed["comparisons"][1] | {"created_at": "", "finished_at": ""} == {
        "id": "c1",
        "state": "finished",
        "created_at": "",
        "created_by": "operator:ada",
        "finished_at": "",
        "message": None,
    }
    assert await get(client, f"comparisons?run={RUN.name}") == listed
    assert (await client.get("/api/v1/comparisons?run=unknown")).status_code == 404


async def test_comparison_has_its_progress_cost_and_result(client: httpx2.AsyncClient) -> None:
    found = await get(client, "comparisons/c1")
    assert (found["state"], found["requests"], found["usd"], found["run"]) == ("finished", 8, 0.01, RUN.id)
    assert (found["answered"], found["planned"], found["hosting_usd"]) == (10, 8, 0.0)
    assert found["models"][1] == {
        "name": "acme-us",
        "account": "acme-us",
        "group": "openai sandbox-small",
        "model": "deployment-of-acme-us",
        "fine_tuned_model": "ft:us",
        "is_base": False,
    }
    assert {each["account"]: each["verdict"] for each in found["result"]["accounts"]} == VERDICTS
    missing = await client.get("/api/v1/comparisons/unknown")
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no comparison unknown.")


async def test_answers_are_paged_and_filtered(client: httpx2.AsyncClient) -> None:
    seen: list[tuple[str, str, int]] = []
    after = ""
    while True:
        page = await get(client, f"comparisons/c1/answers?limit=3&after={after}")
        seen += [(each["model"], each["probe"], each["round"]) for each in page["answers"]]
        if (after := page["next"]) is None:
            break
    assert len(seen) == len(set(seen)) == 10
    assert {model for model, _, _ in seen} == {*MODELS, "base openai meta:8b"}
    probe = await get(client, "comparisons/c1/answers?probe=p2&model=acme-eu")
    assert [(each["probe"], each["round"]) for each in probe["answers"]] == [("p2", 1), ("p2", 2)]
    assert probe["answers"][0]["text"] == "<b>acme-eu p2</b>"
    assert (probe["answers"][0]["outcome"], probe["next"]) == ("answered", None)


@pytest.mark.parametrize("after", ["x", "a:b", "a:b:c", "a:b:-1", "a:b:" + "9" * 30])
async def test_wrong_cursor_is_a_problem(client: httpx2.AsyncClient, after: str) -> None:
    answer = await client.get("/api/v1/comparisons/c1/answers", params={"after": after})
    assert answer.status_code == 422
    assert "`next`" in answer.json()["hint"]


async def test_models_are_accepted_by_operators_only_and_on_the_record(
    served: ServedApp, client: httpx2.AsyncClient, database: Database
) -> None:
    path = "/api/v1/actions/accept"
    assert (await client.post(path, json={"accounts": ["acme-us"], "reason": "tested"})).status_code == 403
    assert "ft:us" not in (await client.get("/api/v1/models/export?format=env")).text
    accepted = await accept(served, accounts=["acme-us"], reason="tested")
    assert accepted.json() == {"action": "accept", "accounts": ["acme-us"], "count": 1}
    assert "ft:us" in (await client.get("/api/v1/models/export?format=env")).text
    assert (await list_causes(database))[-1] == ("token:ops", "model accepted", "ft:us: tested")
    again = await accept(served, accounts=["acme-us"], reason="tested")
    assert again.status_code == 409
    assert "alike or accepted already" in again.json()["detail"]
    job = next(each for each in (await get(client, "jobs"))["jobs"] if each["account"] == "acme-us")
    assert job["comparison"] == {
        "verdict": "different",
        "reasons": [REASON],
        "comparison": "c1",
        "at": "1970-01-12T13:46:40+00:00",
        "accepted_by": "token:ops",
        "accepted_reason": "tested",
    }
    result = (await get(client, "comparisons/c1"))["result"]
    assert [each["accepted_by"] for each in result["accounts"]] == [None, "token:ops"]
    assert result["passed"] is True
    jsonschema.validate(result, DOCUMENT_SCHEMA)


async def test_export_of_the_api_lists_what_it_leaves_out(client: httpx2.AsyncClient) -> None:
    env = (await client.get("/api/v1/models/export?format=env")).text
    assert f'# Left out: "acme-us" at openai: is different from the other models: {REASON}.' in env
    assert "ft:us" not in (await client.get("/api/v1/models?format=csv")).text
    assert "ft:us" not in (await client.get("/export?format=json")).text
    listed = {each["account"]: each for each in (await get(client, "models"))["models"]}
    assert (listed["acme-eu"]["left_out"], listed["acme-us"]["left_out"]) == (
        None,
        f"is different from the other models: {REASON}",
    )


async def test_path_with_several_methods_names_all_of_them(client: httpx2.AsyncClient) -> None:
    answer = await client.options("/api/v1/comparisons")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert (await client.options("/api/v1/comparisons/c1")).headers["allow"] == "GET"
    assert (await client.options("/api/v1/comparisons/plan")).headers["allow"] == "POST"
    assert (await client.get("/api/v1/comparisons/planned")).status_code == 404
    assert (await client.options("/api/v1/actions/accept")).headers["allow"] == "POST"


async def test_unauthenticated_clients_read_nothing(served: ServedApp) -> None:
    async with served.client() as client:
        for path in ("comparisons", "comparisons/c1", "comparisons/c1/answers"):
            assert (await client.get(f"/api/v1/{path}")).status_code == 401
