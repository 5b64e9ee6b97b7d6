"""The dataset page, its pictures and the difference between two datasets, over real files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from api_values import READER, ServedApp, serve
from store_values import RUN

from orchestrator.core.dataset import Dataset, DatasetPart, local_filename
from orchestrator.core.jobs.job import RunId
from orchestrator.core.structs import replace
from orchestrator.dataset.browse.index_builder import build_index
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import runs

ATTACK = "<script>alert(1)</script>"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
REMOTE = {"type": "image_url", "image_url": {"url": "https://tracker.example/pixel.png"}}
CALL = {"id": "call-7", "type": "function", "function": {"name": "find_order", "arguments": '{"order": 7}'}}


def chat(question: Any, *answers: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, *answers]}


def say(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


OLD = [chat("Who?", say("Me.")), chat("Gone?", say("Yes."))]
NEW = [
    chat("Who?", say("You, jane.doe@acme-corp.com.")),
    chat(ATTACK, say("No.")),
    chat([{"type": "text", "text": "What is this?"}, PICTURE, REMOTE], say("A dot.")),
    chat(
        "Where is my order?",
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call-7", "content": "on its way"},
        say("On its way."),
    ),
    *(chat(f"Question {number}", say("Answer.")) for number in range(20)),
]


def save(folder: Path, bodies: list[dict[str, Any]], *, indexed: bool = True) -> Dataset:
    content = b"".join(msgspec.json.encode(body) + b"\n" for body in bodies)
    digest = sha256(content).hexdigest()
    path = folder / local_filename(digest)
    path.write_bytes(content)
    if indexed:
        build_index(path, "sandbox-small")
    return Dataset(
        training=DatasetPart(path=path, sha256=digest, bytes=len(content), examples=len(bodies), tokens=500)
    )


class Stage:
    """Two runs, each with its dataset, and a client that may read."""

    def __init__(self, served: ServedApp, client: httpx2.AsyncClient, old: Dataset, new: Dataset) -> None:
        self.served, self.client, self.old, self.new = served, client, old, new

    async def get(self, path: str = "", **query: Any) -> str:
        answer = await self.client.get(f"/datasets/{self.new.sha256}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def get_json(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(f"/api/v1/datasets/{self.new.sha256}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def stage(database: Database, tmp_path: Path) -> AsyncIterator[Stage]:
    folder = tmp_path / "datasets"
    folder.mkdir()
    served = await serve(database, tmp_path)
    old, new = save(folder, OLD), save(folder, NEW)

    async def add(tx: Transaction) -> None:
        for number, dataset in enumerate((old, new)):
            await runs.save_dataset(tx, dataset, RUN.created_at)
            await runs.save(
                tx,
                replace(
                    RUN,
                    id=RunId(f"data-{number}"),
                    dataset_sha256=dataset.sha256,
                    created_at=RUN.created_at + number + 1,
                    planned_usd=10.0,
                ),
            )

    await database.write(add)
    async with served.client(READER) as client:
        yield Stage(served, client, old, new)


async def test_examples_are_shown_as_chats_and_escaped(stage: Stage) -> None:
    page = await stage.get()
    assert ATTACK not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Call of find_order" in page
    assert "on its way" in page
    assert "1–10 of 24" in page
    assert "Question 17" in await stage.get(page=3)
    assert "Question 17" in await stage.get(page=999)


async def test_pictures_come_from_the_service_and_addresses_stay_text(stage: Stage) -> None:
    page = await stage.get()
    assert 'src="https://tracker' not in page
    assert "https://tracker.example/pixel.png" in page
    path = f"/datasets/{stage.new.sha256}/examples/3/pictures/"
    assert f'src="{path}0"' in page
    picture = await stage.client.get(f"{path}0")
    assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
    assert (await stage.client.get(f"{path}1")).status_code == 404
    assert "img-src" not in picture.headers["content-security-policy"]


async def test_search_and_finding_narrow_the_examples(stage: Stage) -> None:
    assert "<mark>Question 15</mark>" in await stage.get(q="question 15")
    assert "No examples match." in await stage.get(q="not in any chat")
    page = await stage.get(finding="email-address")
    assert "jane.doe@acme-corp.com" in page
    assert "Question 1" not in page


async def test_histograms_have_text_alternatives_and_cost(stage: Stage) -> None:
    page = await stage.get()
    for title in ("Tokens per example", "Cost by length", "Turns per example"):
        assert f'aria-label="{title}. ' in page
    assert "Planned price of the newest run, for all of its accounts: $10.00" in page


async def test_difference_is_against_the_dataset_of_the_previous_run(stage: Stage) -> None:
    page = await stage.get("/difference")
    assert f'value="{stage.old.sha256}" selected' in page
    assert "<del>Me</del>." in page
    assert "<ins>You, jane.doe@acme-corp.com</ins>." in page
    assert "Gone?" in await stage.get("/difference", kind="removed")
    assert "Question 15" in await stage.get("/difference", kind="added", page=2)


async def test_missing_index_is_built_in_the_background(stage: Stage) -> None:
    stage.new.training.path.with_suffix(".index").unlink()
    assert "is being built" in await stage.get()
    async with asyncio.timeout(60):
        while "1–10 of 24" not in await stage.get():  # noqa: ASYNC110 - a child process sets no event
            await asyncio.sleep(0.1)


async def test_missing_file_is_reported(stage: Stage) -> None:
    stage.new.training.path.unlink()
    assert "is not on this machine" in await stage.get()


async def test_api_lists_examples_by_pages(stage: Stage) -> None:
    first = await stage.get_json("/examples", limit=10)
    second = await stage.get_json("/examples", limit=10, after=first["next"])
    last = await stage.get_json("/examples", limit=10, after=second["next"])
    numbers = [each["number"] for page in (first, second, last) for each in page["examples"]]
    assert (numbers, last["next"], last["total"], last["complete"]) == (list(range(1, 25)), None, 24, True)
    assert [each["body"] for each in first["examples"]] == NEW[:10]
    assert first["examples"][0]["findings"] == ["email-address"]


async def test_api_searches_and_filters_examples(stage: Stage) -> None:
    found = await stage.get_json("/examples", text="QUESTION 1", limit=5)
    assert [each["number"] for each in found["examples"]] == [6, 15, 16, 17, 18]
    assert (found["total"], found["complete"], found["next"]) == (11, True, 18)
    rest = await stage.get_json("/examples", text="QUESTION 1", limit=50, after=18)
    assert [each["number"] for each in rest["examples"]] == [19, 20, 21, 22, 23, 24]
    named = await stage.get_json("/examples", finding="email-address")
    assert [each["number"] for each in named["examples"]] == [1]
    assert (await stage.get_json("/examples", finding="no-such-code"))["total"] == 0
    assert (await stage.get_json("/examples", after=24))["examples"] == []


async def test_api_returns_the_difference_of_two_datasets(stage: Stage) -> None:
    query = {"with": stage.old.sha256}
    found = await stage.get_json("/difference", **query)
    counts = {name: found[name] for name in ("changed", "added", "removed", "unchanged")}
    assert counts == {"changed": 1, "added": 23, "removed": 1, "unchanged": 0}
    assert [(each["old"]["body"], each["new"]["body"]) for each in found["pairs"]] == [(OLD[0], NEW[0])]
    added = await stage.get_json("/difference", **query, kind="added", limit=20)
    rest = await stage.get_json("/difference", **query, kind="added", limit=20, after=added["next"])
    assert [each["new"]["number"] for page in (added, rest) for each in page["pairs"]] == list(range(2, 25))
    assert (added["pairs"][0]["old"], rest["next"]) == (None, None)
    removed = await stage.get_json("/difference", **query, kind="removed")
    assert [(each["old"]["body"], each["new"]) for each in removed["pairs"]] == [(OLD[1], None)]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/examples", {"limit": "0"}, 422),
        ("/examples", {"after": "-1"}, 422),
        ("/difference", {}, 422),
        ("/difference", {"with": "none"}, 404),
        ("/difference", {"with": "none", "kind": "other"}, 422),
    ],
)
async def test_api_reports_wrong_parameters(stage: Stage, path: str, query: dict[str, str], status: int) -> None:
    answer = await stage.client.get(f"/api/v1/datasets/{stage.new.sha256}{path}", params=query)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


async def test_api_reports_a_missing_index_and_a_missing_file(stage: Stage) -> None:
    path = f"/api/v1/datasets/{stage.old.sha256}/examples"
    stage.old.training.path.with_suffix(".index").unlink()
    answer = await stage.client.get(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    stage.old.training.path.unlink()
    assert (await stage.client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/examples", "/difference"])
async def test_api_examples_need_a_token(stage: Stage, path: str) -> None:
    async with stage.served.client() as client:
        answer = await client.get(f"/api/v1/datasets/{stage.new.sha256}{path}", params={"with": stage.old.sha256})
    assert answer.status_code == 401
    assert "Question" not in answer.text


@pytest.mark.parametrize("path", ["", "/difference", "/examples/1/pictures/0"])
async def test_examples_need_a_token(stage: Stage, path: str) -> None:
    async with stage.served.client() as client:
        answer = await client.get(f"/datasets/{stage.new.sha256}{path}")
    assert answer.status_code in (303, 401)
    assert "Question" not in answer.text
