"""What the database counts for metrics is what the read model shows job by job."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import yaml
from sqlalchemy import text
from store_values import NOW, RUN, SPEC, a_job, a_standing, fill

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.status import MetricsSnapshot, get_metrics_snapshot, get_status
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, replicas
from orchestrator.store.queries.replicas import Replica

BUDGET = Hold(HoldKind.OVER_BUDGET, "too dear", "Raise `budget_usd`.")
EXPIRED_HOLD = Hold("quota_exhausted", "no credit until then", "Add credit.", until=NOW - 1)
LAST_DAY = date(2027, 1, 14)
RUN_OF_TWO = replace(
    RUN,
    specs={**RUN.specs, ProviderName.TOGETHER: replace(SPEC, n_epochs="auto")},
    hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, "too much", "Approve it."),
)
JOBS: list[Job] = [
    a_job("due", state=JobState.UPLOADING, wake_at=NOW - 4, estimated_usd=1.0),
    a_job("later", state=JobState.RUNNING, wake_at=NOW + 60, estimated_usd=2.0, submitted_at=NOW - 9),
    a_job("held", state=JobState.UPLOADING, wake_at=None, hold=BUDGET, estimated_usd=4.0),
    a_job("freed", state=JobState.QUEUED, wake_at=NOW, hold=EXPIRED_HOLD, submitted_at=NOW - 9),
    a_job("failed", state=JobState.FAILED, wake_at=None, failure=Failure("bad_file", "no", "Mend it.")),
    a_job(
        "ready",
        state=JobState.SUCCEEDED,
        wake_at=None,
        fine_tuned_model="ft:a",
        trained_tokens=700,
        retires_on=LAST_DAY,
    ),
    a_job("gone", state=JobState.SUCCEEDED, wake_at=None, fine_tuned_model="ft:b", trained_tokens=800),
    a_job("other", state=JobState.RUNNING, wake_at=None, provider=ProviderName.TOGETHER),
]


async def test_an_empty_database_counts_nothing(database: Database) -> None:
    assert await get_metrics_snapshot(database, NOW) == MetricsSnapshot()


async def test_metrics_match_the_read_model(database: Database) -> None:
    async def change(tx: Transaction) -> None:
        await accounts.save(tx, a_standing("other", provider=ProviderName.TOGETHER))
        await replicas.save_heartbeat(tx, Replica("r1", "host", 1, NOW - 9, NOW, NOW + 9))
        await replicas.save_heartbeat(tx, Replica("r2", "host", 2, NOW - 99, NOW - 90, NOW - 80))

    await database.write(change)
    await fill(database, JOBS, RUN_OF_TWO)
    whole, seen = await get_status(database, NOW), await get_metrics_snapshot(database, NOW)

    shown = Counter((job.provider, "held" if job.held else job.state) for job in whole.jobs)
    assert {(share.provider, share.state): share.count for share in seen.state_counts} == shown
    assert seen.run_holds == ["run_too_dear"]
    assert {(cause.error.kind, cause.held): cause.count for cause in seen.problem_groups} == {
        ("over_budget", True): 1,
        ("bad_file", False): 1,
    }
    assert (seen.due, seen.oldest_due) == (2, 4.0)
    assert seen.replicas == 1
    assert seen.trained_tokens == {"openai": 1500}
    assert seen.planned_tokens == {"openai": 7 * 3 * 500}, "where the provider chooses the epochs nobody knows"
    assert seen.first_retirement_dates == {"openai": LAST_DAY}


async def test_deleted_model_has_no_retirement_date(database: Database) -> None:
    done = a_job(
        "a", state=JobState.SUCCEEDED, wake_at=None, fine_tuned_model="ft:a", retires_on=LAST_DAY, gone_at=NOW
    )
    await fill(database, [done])
    assert (await get_metrics_snapshot(database, NOW)).first_retirement_dates == {}


async def test_the_charts_autoscaler_counts_the_due_jobs(postgres_url: str) -> None:
    """It asks PostgreSQL itself, in the words of the chart."""
    chart = (Path(__file__).parents[2] / "deploy/helm/rendered/scaled.yaml").read_text(encoding="utf-8")
    (scaled,) = [each for each in yaml.safe_load_all(chart) if each["kind"] == "ScaledObject"]
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    await database.migrate()
    await fill(database, [a_job("due"), a_job("later", wake_at=4e9), a_job("done", wake_at=None)])
    async with database.read() as connection:
        counted = await connection.execute(text(scaled["spec"]["triggers"][0]["metadata"]["query"]))
        assert counted.scalar_one() == 1
    await database.close()
