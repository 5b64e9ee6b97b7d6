"""The range of the estimated end as the API returns it, upon both databases."""

from __future__ import annotations

from datetime import datetime

from api_values import READER, serve
from store_values import NOW, a_job, fill

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database


async def test_range_appears_once_five_jobs_have_finished(database: Database) -> None:
    served = await serve(database)
    served.now = NOW + 1000
    for number in range(5):
        done = a_job(
            f"done-{number}",
            state=JobState.SUCCEEDED,
            wake_at=None,
            submitted_at=NOW,
            finished_at=NOW + 600 + 50 * number,
        )
        async with served.client(READER) as client:
            answer = (await client.get("/api/v1/runs/current")).json()
        assert answer["estimated_end"] is None
        await fill(database, [done])
    async with served.client(READER) as client:
        found = (await client.get("/api/v1/runs/current")).json()["estimated_end"]
    earliest, latest = (datetime.fromisoformat(found[name]).timestamp() for name in ("earliest", "latest"))
    assert NOW + 1000 < earliest < latest  # one planned job is left, which counts from now
    assert abs(earliest - (NOW + 1000 + 600 * 0.98)) < 2
