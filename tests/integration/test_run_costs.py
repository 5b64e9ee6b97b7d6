"""Costs of a run as the API returns them, upon both databases."""

from __future__ import annotations

import pytest
from api_values import READER, serve
from store_values import NOW, a_job, fill

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database


async def test_api_returns_planned_submitted_and_trained_prices(database: Database) -> None:
    served = await serve(database)
    done = a_job(
        "done",
        state=JobState.SUCCEEDED,
        wake_at=None,
        remote_job_id="ftjob-1",
        submitted_at=NOW,
        estimated_usd=0.5,
        earlier_usd=0.25,
        trained_tokens=200_000,
    )
    await fill(database, [done])
    async with served.client(READER) as client:
        answer = (await client.get("/api/v1/runs/current/costs")).json()
        missing = await client.get("/api/v1/runs/nowhere/costs")
    [openai] = answer["providers"]
    assert openai["planned"] == {"usd": 0.5, "known": 1, "unknown": 2}
    assert openai["submitted"] == {"usd": 0.75, "known": 1, "unknown": 0}
    assert openai["trained"]["usd"] == pytest.approx(1.0)  # 200,000 tokens of sandbox-small
    assert openai["billed_usd"] is None
    assert [(point["jobs"], point["usd"]) for point in answer["over_time"]] == [(1, 0.75)]
    assert missing.status_code == 404
