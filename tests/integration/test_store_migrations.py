from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from reconciler_values import make_reconciler
from sqlalchemy import Connection, MetaData, inspect, text
from store_values import DATASET, NOW, RUN, TRAINING, a_job, a_standing, fill, read_job

from orchestrator.core.deployment.deployment import DeploymentId, build_deployment
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import request_again
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.store.db.database import Database, migrations_folder, newest_revision
from orchestrator.store.db.engine import DatabaseEngine, make_engine
from orchestrator.store.queries import accounts, events, replicas, runs
from orchestrator.store.queries.deployments import deployment_records
from orchestrator.store.schema.mapping import account_state_to_row, deployment_to_row, job_to_row, run_to_row
from orchestrator.store.schema.tables import deployments, metadata


@pytest.fixture
def database_url(url_without_tables: str) -> str:
    """For these tests, without tables: the others' databases are copies of one that is up to date."""
    return url_without_tables


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Up to date and empty."""
    opened = Database(database_url)
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[DatabaseEngine]:
    engine = make_engine(database_url, without_timeouts=True)
    yield engine
    await engine.dispose()


def migrate(connection: Connection, direction: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    {"up": command.upgrade, "down": command.downgrade}[direction](config, revision)


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def drift(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))


async def test_up_down_and_up_again(engine: DatabaseEngine) -> None:
    seen = []
    async with engine.write() as connection:
        for direction, revision in [("up", "head"), ("down", "base"), ("up", "head")]:
            await connection.run_sync(migrate, direction, revision)
            seen.append(await connection.run_sync(tables))
    assert seen == [set(metadata.tables), set(), set(metadata.tables)]


async def test_migrated_schema_matches_the_tables(engine: DatabaseEngine) -> None:
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "head")
        assert await connection.run_sync(drift) == []


def shape(connection: Connection) -> dict[str, object]:
    """Every table with its columns, keys and indexes, as the database tells them, whatever their order."""
    ask = inspect(connection)
    return {
        table: (
            sorted(
                (column["name"], repr(column["type"]), column["nullable"], str(column["default"]))
                for column in ask.get_columns(table)
            ),
            ask.get_pk_constraint(table),
            sorted(ask.get_foreign_keys(table), key=str),
            sorted(ask.get_indexes(table), key=str),
            sorted(ask.get_check_constraints(table), key=str),
        )
        for table in ask.get_table_names()
    }


async def test_new_database_matches_the_migrated_schema(database: Database, engine: DatabaseEngine) -> None:
    async with database.read() as read:
        created = await read.run_sync(shape)
    await database.write(lambda tx: tx.connection.run_sync(migrate, "down", "base"))

    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "head")
        assert await connection.run_sync(shape) == created


async def test_schema_drift_is_detected(engine: DatabaseEngine) -> None:
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "head")
        await connection.execute(text("ALTER TABLE jobs ADD COLUMN mood TEXT"))
        await connection.execute(text("DROP INDEX ix_jobs_wake_at"))
        assert len(await connection.run_sync(drift)) == 2


async def test_migrating_a_current_database_changes_nothing(database: Database) -> None:
    await fill(database, [a_job("acme")])
    before = await read_job(database, "acme")
    assert await database.migrate() is None
    assert await read_job(database, "acme") == before


async def test_database_of_the_first_revision_is_upgraded_with_its_data(database_url: str) -> None:
    job = a_job("acme", state=JobState.RUNNING, remote_job_id="ftjob-1", remote_file_id="file-1", attempts=3)
    engine = make_engine(database_url, without_timeouts=True)
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "0001")
        await connection.run_sync(fill_first_revision, job)
    await engine.dispose()
    database = Database(database_url)
    await database.migrate()
    after = await read_job(database, "acme")
    assert (after.state, after.remote_job_id, after.remote_file_id, after.attempts) == (
        job.state,
        job.remote_job_id,
        job.remote_file_id,
        job.attempts,
    )
    async with database.read() as read:
        run = await runs.find_current(read)
        assert run is not None
        assert (run.id, run.specs) == (RUN.id, RUN.specs)
        assert await runs.get_dataset(read, DATASET.sha256, TRAINING.path.parent) == DATASET
        assert (await accounts.list_all(read)).keys() == {"acme"}
    await database.close()


async def test_replica_of_the_eighth_revision_is_upgraded_without_a_reload_error(database_url: str) -> None:
    """Replicas of the version before go on beating while the first ones of this version start."""
    engine = make_engine(database_url, without_timeouts=True)
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "0008")
        await connection.execute(text(f"INSERT INTO replicas VALUES ('old', 'h', 1, {NOW}, {NOW}, {NOW + 60})"))
    database = Database(database_url)
    await database.migrate()
    async with engine.write() as connection:
        columns = "id, host, pid, started_at, seen_at, alive_until"
        await connection.execute(
            text(f"INSERT INTO replicas ({columns}) VALUES ('late', 'h', 2, {NOW}, {NOW}, {NOW + 60})")
        )
    await engine.dispose()
    async with database.read() as read:
        assert [replica.id for replica in await replicas.list_live(read, NOW)] == ["late", "old"]
        assert await replicas.find_refusal(read, NOW) is None
    await database.close()


async def test_run_in_progress_of_the_ninth_revision_goes_on(database_url: str) -> None:
    """Its job was about to be created when the process ended: the job is adopted, and no second one is created."""
    job = a_job(
        "acme",
        state=JobState.SUBMITTING,
        submitted_at=NOW,
        intent_until=NOW,
        remote_file_id="file-1",
        estimated_usd=1.0,
    )
    engine = make_engine(database_url, without_timeouts=True)
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "0009")
        await connection.run_sync(fill_first_revision, job)
    database = Database(database_url)
    await database.migrate()
    async with engine.write() as connection:  # a replica of the version before, which does not know priorities
        columns = "id, name, dataset_sha256, specs, current, created_at"
        await connection.execute(
            text(f"INSERT INTO runs ({columns}) SELECT 'late', name, dataset_sha256, specs, false, {NOW} FROM runs")
        )
    await engine.dispose()
    async with database.read() as read:
        assert await runs.list_current(read) == [RUN]
        late = await runs.get(read, RunId("late"))
        assert (late.priority, late.gate) == (0, False)
    provider = ProviderWithJob()
    await make_reconciler(database, {"acme": provider}).handle(job.id)
    after = await read_job(database, "acme")
    assert (after.state, after.remote_job_id, provider.created) == (JobState.QUEUED, "ftjob-1", [])
    await database.close()


async def test_history_of_the_tenth_revision_is_kept_and_its_replicas_go_on_writing(database_url: str) -> None:
    engine = make_engine(database_url, without_timeouts=True)
    columns = "at, cause, account, note"
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "0010")
        await connection.execute(text(f"INSERT INTO events ({columns}) VALUES ({NOW}, 'service', 'acme', 'old')"))
    database = Database(database_url)
    await database.migrate()
    async with engine.write() as connection:  # a replica of the version before, which does not know deployments
        await connection.execute(text(f"INSERT INTO events ({columns}) VALUES ({NOW}, 'service', 'acme', 'late')"))
    await engine.dispose()
    async with database.read() as read:
        history = await events.list_by_account(read, "acme")
    assert [(event.note, event.deployment_id) for event in history] == [("old", None), ("late", None)]
    await database.close()


async def test_deployment_of_the_fifteenth_revision_is_kept_and_its_replicas_go_on_writing(database_url: str) -> None:
    """A replica of the version before adds a row without costs of earlier rounds, and changes one that has them."""
    ended = build_deployment(a_job("acme"), DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2), now=NOW)
    ended = replace(
        ended,
        state=DeploymentState.STOPPED,
        wake_at=None,
        usd_per_hour=4.0,
        create_started_at=NOW - 3600,
        expires_at=NOW + 3600,
        ended_at=NOW,
    )
    row = deployment_to_row(ended)
    known = {name: value for name, value in row.items() if not name.startswith("earlier_")}
    engine = make_engine(database_url, without_timeouts=True)
    async with engine.write() as connection:
        await connection.run_sync(migrate, "up", "0015")
        await connection.run_sync(fill_first_revision, a_job("acme"))
        await connection.execute(deployments.insert().values(known))
    database = Database(database_url)
    await database.migrate()
    async with database.read() as read:
        assert await deployment_records.find(read, ended.id) == ended
    again = request_again(ended, now=NOW)
    await database.write(lambda tx: deployment_records.record(tx, again, at=NOW, cause="service"))
    async with engine.write() as connection:
        await connection.execute(deployments.insert().values(known | {"id": "late"}))
        await connection.execute(deployments.update().values(version=again.deployment.version))
    await engine.dispose()
    async with database.read() as read:
        late = await deployment_records.find(read, DeploymentId("late"))
        assert late == replace(ended, id=DeploymentId("late"), version=again.deployment.version)
        assert await deployment_records.find(read, ended.id) == again.deployment
    assert again.deployment.earlier_usd == 4.0
    await database.close()


class ProviderWithJob:
    """A provider that has a remote job with the tag it is asked for."""

    def __init__(self) -> None:
        self.created: list[str] = []

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        return [
            RemoteJob(
                id="ftjob-1",
                status=RemoteJobStatus.PENDING,
                raw_status="queued",
                training_file=order.training_file,
                base_model=order.spec.base_model,
            )
        ]

    async def create_job(self, order: JobOrder, _deadline: Deadline) -> RemoteJob:
        self.created.append(order.tag)
        return (await self.find_jobs(order))[0]


def fill_first_revision(connection: Connection, job: Job) -> None:
    """The same rows as `fill`'s, in the columns that there were."""
    there = MetaData()
    there.reflect(connection)
    part = {f"training_{name}": getattr(TRAINING, name) for name in ("sha256", "bytes", "examples", "tokens")}
    rows = {
        "datasets": {"sha256": DATASET.sha256, "created_at": NOW} | part,
        "runs": run_to_row(RUN),
        "accounts": account_state_to_row(a_standing("acme")),
        "jobs": job_to_row(job),
        "run_jobs": {"run_id": RUN.id, "job_id": job.id},
    }
    for name, row in rows.items():
        known = metadata.tables[name]  # its types write JSON as the program does
        columns = there.tables[name].columns.keys()
        connection.execute(known.insert().values({key: value for key, value in row.items() if key in columns}))


async def test_one_of_many_concurrent_processes_migrates(database_url: str) -> None:
    replicas = [Database(database_url) for _ in range(3)]
    assert sorted(filter(None, await asyncio.gather(*(replica.migrate() for replica in replicas)))) == [
        newest_revision()
    ]
    for replica in replicas:
        await replica.close()


async def test_a_newer_versions_tables_are_refused(database: Database) -> None:
    await database.write(lambda tx: tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigError, match="newer version of the program"):
        await database.migrate()


async def test_a_database_that_cannot_be_opened_is_one_clear_message() -> None:
    database = Database("sqlite:////proc/nowhere.db")
    with pytest.raises(ConfigError, match=r"/proc/nowhere\.db cannot be opened") as caught:
        await database.migrate()
    assert "ORCHESTRATOR_DATABASE_URL" in caught.value.hint
    await database.close()


@pytest.mark.parametrize("address", ["u:CANARY@127.0.0.1:1/db", "u@127.0.0.1:1/db?password=CANARY"])
async def test_a_database_that_cannot_be_opened_is_named_without_its_password(address: str) -> None:
    database = Database(f"postgresql+asyncpg://{address}")
    with pytest.raises(ConfigError, match=r"postgresql\+asyncpg://u@127\.0\.0\.1:1/db cannot be opened") as caught:
        await database.migrate()
    assert "CANARY" not in f"{caught.value} {caught.value.hint}"
    await database.close()
