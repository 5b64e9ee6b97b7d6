"""The dataset page, its pictures and the difference between two datasets, over real files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
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


@pytest.mark.parametrize("path", ["", "/difference", "/examples/1/pictures/0"])
async def test_examples_need_a_token(stage: Stage, path: str) -> None:
    async with stage.served.client() as client:
        answer = await client.get(f"/datasets/{stage.new.sha256}{path}")
    assert answer.status_code in (303, 401)
    assert "Question" not in answer.text
