"""An action changes nothing if its run or its price is no longer what the operator has seen and confirmed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from api_values import OPERATOR, ServedApp, list_causes, serve
from sqlalchemy import update
from store_values import NOW, RUN, a_job, a_standing, fill, read_job, save_standing

from orchestrator.control.operator import perform
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import runs
from orchestrator.store.schema.tables import jobs as job_table

TOO_EXPENSIVE = Hold(HoldKind.RUN_TOO_EXPENSIVE, "too dear", "Approve it.")
HELD = replace(RUN, hold=TOO_EXPENSIVE, planned_usd=3.1)
SUCCESSOR = replace(HELD, id=RunId("run-2"))


@pytest.fixture
async def served(database: Database) -> ServedApp:
    return await serve(database)


@pytest.fixture
async def browser(served: ServedApp) -> AsyncIterator[httpx2.AsyncClient]:
    async with served.client() as client:
        await client.post("/login", data={"token": OPERATOR})
        yield client


async def save_run(database: Database, run: Run) -> None:
    await database.write(lambda tx: runs.save(tx, run))


async def set_price(database: Database, usd: float | None) -> None:
    await database.write(lambda tx: tx.connection.execute(update(job_table).values(estimated_usd=usd)))


async def open_dialog(browser: httpx2.AsyncClient, query: str) -> dict[str, str]:
    """Return the fields of the dialog's form."""
    html = (await browser.get(f"/confirm?{query}")).text
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))


async def list_actions(database: Database) -> list[str]:
    return [note for cause, note, _ in await list_causes(database) if cause == "token:ops"]


async def test_a_reload_just_before_the_approval_cannot_change_its_price(
    database: Database, served: ServedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save_run(database, HELD)
    call = served.inside.call_with_database

    async def reload_first(function: Callable[..., Awaitable[Any]], /, *arguments: Any, **options: Any) -> Any:
        if function is perform:
            await save_run(database, replace(HELD, planned_usd=310.0))
        return await call(function, *arguments, **options)

    monkeypatch.setattr(served.inside, "call_with_database", reload_first)
    served.rebuild()
    async with served.client(OPERATOR) as client:
        answer = await client.post("/api/v1/actions/approve", json={"expect_usd": 3.1})
        assert answer.status_code == 409
        assert answer.json()["detail"] == "The price changed: now 310.0 USD, expected 3.1 USD."
        assert await list_actions(database) == []
        assert (await client.post("/api/v1/actions/approve", json={"expect_usd": 310.0})).status_code == 200
    async with database.read() as connection:
        assert (await runs.get(connection, RUN.id)).approved_usd == 310.0


@pytest.mark.parametrize("verb", ["approve", "start"])
async def test_price_that_was_shown_as_unknown_approves_no_known_price(
    database: Database, browser: httpx2.AsyncClient, verb: str
) -> None:
    await save_run(database, replace(HELD, planned_usd=None))
    form = await open_dialog(browser, f"verb={verb}")
    await save_run(database, replace(HELD, planned_usd=5000.0))
    answer = await browser.post("/act", data=form)
    assert answer.status_code == 409
    assert "The price changed: now 5000.0 USD, expected unknown." in answer.text
    assert await list_actions(database) == []
    form = await open_dialog(browser, f"verb={verb}")
    assert (await browser.post("/act", data=form)).status_code == 303


@pytest.mark.parametrize("verb", ["approve", "waive", "start", "cancel&all=1", "retry&all=1"])
async def test_run_that_replaced_the_shown_one_is_not_changed(
    database: Database, browser: httpx2.AsyncClient, verb: str
) -> None:
    jobs = [a_job("acme"), a_job("globex", state=JobState.FAILED)]
    await fill(database, jobs, HELD)
    form = await open_dialog(browser, f"verb={verb}") | {"reason": "moderated elsewhere"}
    await fill(database, [replace(job, id=f"{job.id}-2", run_id=SUCCESSOR.id) for job in jobs], SUCCESSOR)  # type: ignore[arg-type]
    answer = await browser.post("/act", data=form)
    assert answer.status_code == 409
    assert "Run support was replaced: now run-2, expected run-1." in answer.text
    assert 'name="expect_run" value="run-2"' in answer.text, "the dialog shows the new run"
    assert await list_actions(database) == []
    form = await open_dialog(browser, f"verb={verb}") | {"reason": "moderated elsewhere"}
    assert (await browser.post("/act", data=form)).status_code == 303


@pytest.mark.parametrize(("before", "after"), [(1.0, 100.0), (None, 100.0), (1.0, None)])
@pytest.mark.parametrize("verb", ["retry", "release"])
async def test_other_price_of_the_selected_jobs_is_confirmed_again(
    database: Database, browser: httpx2.AsyncClient, verb: str, before: float | None, after: float | None
) -> None:
    held = Hold(HoldKind.BY_OPERATOR, "moving", "Release it.")
    await save_standing(database, a_standing("acme", hold=held))
    await set_price(database, before)
    form = await open_dialog(browser, f"verb={verb}&all=1")
    await set_price(database, after)
    answer = await browser.post("/act", data=form)
    assert answer.status_code == 409
    assert "The price changed" in answer.text
    assert await list_actions(database) == []
    assert (await read_job(database, "globex")).state is JobState.FAILED
    form = await open_dialog(browser, f"verb={verb}&all=1")
    assert (await browser.post("/act", data=form)).status_code == 303
    assert len(await list_actions(database)) == 1


async def test_run_shown_in_the_dialog_is_in_its_form(database: Database, browser: httpx2.AsyncClient) -> None:
    await save_run(database, replace(HELD, created_at=NOW))
    assert (await open_dialog(browser, "verb=approve"))["expect_run"] == RUN.id
    assert "expect_run" not in await open_dialog(browser, "verb=hold&all=1"), "it concerns the accounts"
