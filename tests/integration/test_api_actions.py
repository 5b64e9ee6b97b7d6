"""The web door upon a real database: tokens, actions and their record."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from api_values import OPERATOR, READER, ServedApp, list_causes, serve
from machine_speed import scale_seconds
from store_values import NOW, RUN, a_job, fill, read_job

from orchestrator import control, status
from orchestrator.core.access_token import Role
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import runs, tokens
from orchestrator.web.server import WebServer


@pytest.fixture
async def served(database: Database) -> ServedApp:
    return await serve(database)


async def test_every_action_is_recorded_with_the_token_name(database: Database, served: ServedApp) -> None:
    dear = replace(RUN, hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, "too dear", "Approve it."))
    await database.write(lambda tx: runs.save(tx, dear))
    async with served.client(OPERATOR) as client:
        for verb, body in {
            "hold": {"accounts": ["acme"], "reason": "moving"},
            "release": {"accounts": ["acme"]},
            "retry": {"filter": {"state": "failed"}, "expect": 1},
            "cancel": {"accounts": ["acme"]},
            "approve": {},
            "waive": {"reason": "seen elsewhere"},
        }.items():
            answer = await client.post(f"/api/v1/actions/{verb}", json=body)
            assert answer.status_code == 200, answer.text
    said = [(note, message) for cause, note, message in await list_causes(database) if cause == "token:ops"]
    assert said == [
        ("held", "moving"),
        ("released", None),
        ("retried", None),
        ("cancel asked", None),
        ("approved", "too dear"),
        ("moderation waived", "seen elsewhere"),
    ]
    assert (await read_job(database, "globex")).state is JobState.PLANNED


async def test_action_selects_the_jobs_it_applies_to(database: Database) -> None:
    dear = Hold(HoldKind.OVER_BUDGET, "too dear", "Raise it.")
    held = Hold(HoldKind.BY_OPERATOR, "a reason", "Release it.")
    await fill(
        database,
        [
            a_job("done", state=JobState.SUCCEEDED),
            a_job("failed", state=JobState.FAILED),
            a_job("running", state=JobState.RUNNING),
            a_job("poor", hold=dear),
            a_job("aside", hold=held),
        ],
    )

    async def reached(verb: OperatorAction, **parts: Any) -> list[str]:
        return list((await status.preview_action(database, verb, JobFilter(**parts), NOW)).accounts)

    assert await reached(OperatorAction.RETRY) == ["failed"]
    assert await reached(OperatorAction.RETRY, state="running") == []
    assert await reached(OperatorAction.CANCEL) == ["aside", "poor", "running"]
    assert await reached(OperatorAction.CANCEL, text="RUN") == ["running"]
    assert await reached(OperatorAction.RELEASE) == ["aside"]
    assert await reached(OperatorAction.HOLD) == ["aside", "done", "failed", "poor", "running"]


async def test_release_reaches_what_a_hold_reached(database: Database) -> None:
    """The hold of an account outlives the job: without a release the account's next job would wait for ever."""
    done = ("cancelled", "failed", "succeeded")
    poor = a_job("poor", hold=Hold(HoldKind.OVER_BUDGET, "too dear", "Raise it."))
    await fill(database, [*(a_job(state, state=JobState(state), estimated_usd=1.5) for state in done), poor])
    held = await control.hold_accounts(database, None, reason="a reason", by="me", now=NOW)
    assert held == [*done[:2], "poor", "succeeded"]
    preview = await status.preview_action(database, OperatorAction.RELEASE, JobFilter(), NOW)
    assert list(preview.accounts) == held
    assert (preview.usd, preview.unpriced) == (0, 1), "an ended job is not submitted again"
    await control.release_accounts(database, preview.accounts, by="me", now=NOW)
    assert (await status.preview_action(database, OperatorAction.RELEASE, JobFilter(), NOW)).accounts == ()


async def test_refused_actions_change_nothing(database: Database, served: ServedApp) -> None:
    before = await list_causes(database)
    for token, code in ((READER, 403), ("orch_nobody", 401), ("", 401)):
        async with served.client(token) as client:
            answer = await client.post("/api/v1/actions/hold", json={"accounts": ["acme"]})
            assert answer.status_code == code
    assert await list_causes(database) == before
    assert (await read_job(database, "acme")).hold is None


async def test_revoked_token_is_refused_immediately(database: Database, served: ServedApp) -> None:
    async with served.client(READER) as client, served.client() as browser:
        await browser.post("/login", data={"token": READER})
        assert [(await each.get("/status")).status_code for each in (client, browser)] == [200, 200]
        await control.revoke_token(database, "eyes", by="me", now=NOW + 5)
        await control.revoke_token(database, "eyes", by="me", now=NOW + 9)
        assert [(await each.get("/status")).status_code for each in (client, browser)] == [401, 401]
    async with database.read() as connection:
        assert {token.name: token.revoked_at for token in await tokens.list_all(connection)} == {
            "ops": None,
            "eyes": NOW + 5,
        }
    assert [each for each in await list_causes(database) if each[1].startswith("token")] == [
        ("me", "token created", "ops, operator"),
        ("me", "token created", "eyes, reader"),
        ("me", "token revoked", "eyes"),
    ]


async def test_last_use_of_a_token_is_stored(database: Database, served: ServedApp) -> None:
    served.now = NOW + 7
    async with served.client(OPERATOR) as client:
        await client.get("/status")
    async with database.read() as connection:
        assert {token.name: token.last_used_at for token in await tokens.list_all(connection)} == {
            "ops": NOW + 7,
            "eyes": None,
        }


@pytest.mark.parametrize("name", ["ops", "environment", "", "Ops", "a b", "a/b", "-a", "a" * 65, "ä"])
async def test_duplicate_or_invalid_token_name_is_refused(database: Database, served: ServedApp, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await control.create_token(database, name, Role.READER, "0" * 64, by="me", now=NOW)
    assert caught.value.hint


async def test_an_unknown_name_cannot_be_revoked(database: Database) -> None:
    with pytest.raises(ConfigError, match="no token is named nobody"):
        await control.revoke_token(database, "nobody", by="me", now=NOW)


async def test_run_start_is_recorded_once(database: Database) -> None:
    await fill(database, [a_job("acme")], run=replace(RUN, started_at=None))
    for moment in (NOW, NOW + 1):
        run = await control.start(database, by="me", now=moment)
        assert run.started_at == NOW
    assert await list_causes(database) == [("me", "started", None)]


async def test_event_stream_is_live_and_resumes_after_the_last_id(database: Database, served: ServedApp) -> None:
    server = WebServer(served.app, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await server.start()}/api/v1/events"
    headers = {"Authorization": f"Bearer {READER}", "Accept": "text/event-stream"}
    async with httpx2.AsyncClient(headers=headers, timeout=scale_seconds(60)) as client:
        async with client.stream("GET", url, params={"after": 0}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            first, second = await next_event(lines), await next_event(lines)
            assert (first.pop("retry"), "retry" in second) == ("2000", False)
            assert [event["note"] for event in (first, second)] == ["token created"] * 2
            await control.hold_accounts(database, ["acme"], reason="a reason", by="me", now=NOW)
            held = await next_event(lines)
            assert (held["event"], held["account"], held["note"]) == ("account", "acme", "held")
        await control.release_accounts(database, ["acme"], by="me", now=NOW)
        lost = {"Last-Event-ID": held["id"]}
        async with client.stream("GET", url, params={"account": "acme"}, headers=lost) as stream:
            lines = stream.aiter_lines()
            assert (await next_event(lines))["note"] == "released"
            served.stopping.set()
            assert "event: account" not in [line async for line in lines], "it ends, and nothing was told twice"
    await server.stop()


async def test_events_of_a_run_are_selected_by_its_id_and_its_name(database: Database, served: ServedApp) -> None:
    async def start(run: Run) -> None:
        await fill(database, [a_job("acme")], run=replace(run, started_at=None))
        await control.start(database, by="me", now=NOW)

    later = replace(RUN, id=RunId("run-2"))
    await start(RUN)
    async with served.client(READER) as client:
        for name, ids in ((RUN.id, [RUN.id]), (RUN.name, [RUN.id]), ("another", [])):
            page = (await client.get("/api/v1/events", params={"run": name})).json()
            assert [event["run"] for event in page["events"]] == ids
    server = WebServer(served.app, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await server.start()}/api/v1/events"
    headers = {"Authorization": f"Bearer {READER}", "Accept": "text/event-stream"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=scale_seconds(60)) as client,
        client.stream("GET", url, params={"after": 0, "run": RUN.name}) as stream,
    ):
        lines = stream.aiter_lines()
        assert (await next_event(lines))["run"] == RUN.id
        await start(replace(RUN, id=RunId("run-3"), name="another"))
        await start(later)
        assert (await next_event(lines))["run"] == later.id, "a later version of the run, and no other run"
        served.stopping.set()
    await server.stop()


async def next_event(lines: AsyncIterator[str]) -> dict[str, Any]:
    """The data of the next event, its id and name as the stream says them."""
    event: dict[str, Any] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        event |= json.loads(value) if name == "data" else {name: value}
        if name == "data":
            return event | {"id": str(event["id"])}
    raise AssertionError("the stream has ended")


async def test_events_are_paged(database: Database, served: ServedApp) -> None:
    async with served.client(READER) as client:
        first = (await client.get("/api/v1/events", params={"limit": 1})).json()
        rest = (await client.get("/api/v1/events", params={"after": first["next"]})).json()
        none = (await client.get("/api/v1/events", params={"account": "acme"})).json()
    notes = [(event["kind"], event["note"], event["message"]) for event in first["events"] + rest["events"]]
    assert notes == [("service", "token created", "ops, operator"), ("service", "token created", "eyes, reader")]
    assert (rest["next"], none) == (None, {"events": [], "next": None})
