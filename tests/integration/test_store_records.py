"""Runs, datasets, accounts, history."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from store_values import DATASET, NOW, RUN, TRAINING, a_job, a_standing, fill, id_of, read_job, record, save_standing

from orchestrator.core.account import ProviderName
from orchestrator.core.dataset import Dataset
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import JobEvent
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import advance
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import accounts, events, runs

ASIDE = Hold("run_too_dear", "too dear", "approve it", NOW + 5)


async def save(database: Database, run: Run) -> None:
    await database.write(lambda tx: runs.save_dataset(tx, DATASET, NOW))
    await database.write(lambda tx: runs.save(tx, run))


async def set_current(database: Database, *wanted: Run) -> None:
    await database.write(lambda tx: runs.set_current(tx, [run.id for run in wanted]))


async def test_every_field_of_a_run_comes_back(database: Database) -> None:
    specs = {
        ProviderName.OPENAI: TrainingSpec(
            base_model="a", n_epochs=3, learning_rate_multiplier=0.5, seed=1, suffix="ö"
        ),
        ProviderName.NEBIUS: TrainingSpec(base_model="b", method="dpo"),
    }
    run = replace(
        RUN,
        specs=specs,
        approved_at=NOW + 0.25,
        approved_by="me",
        approved_usd=1.5,
        planned_usd=2.5,
        hold=ASIDE,
        moderation=Moderation(state=ModerationStatus.PASSED, by="acme", at=1.0, texts=3),
    )
    await save(database, run)
    async with database.read() as connection:
        assert await runs.get(connection, run.id) == run
        assert await runs.find(connection, run.id) == run
        assert await runs.find(connection, RunId("nobody")) is None


async def test_exactly_the_listed_runs_are_current(database: Database) -> None:
    async with database.read() as connection:
        assert await runs.find_current(connection) is None
    other = replace(RUN, id=RunId("run-2"), created_at=NOW + 1)
    first = replace(RUN, id=RunId("run-3"), created_at=NOW + 2, priority=1)
    for run in (RUN, other, first):
        await save(database, run)
    for wanted in ([RUN], [other], [first, RUN, other], [RUN, other]):
        await set_current(database, *wanted)
        async with database.read() as connection:
            assert await runs.list_current(connection) == wanted
            assert await runs.find_current(connection) == wanted[0]
    past = replace(other, current=False, name="a line in the past")
    await save(database, past)
    async with database.read() as connection:
        assert await runs.list_current(connection) == [RUN], "saving one run leaves the others as they are"
        assert await runs.get(connection, other.id) == past


async def test_a_dataset_comes_back_with_its_files(database: Database) -> None:
    folder = Path("datasets")
    validation = replace(
        TRAINING, path=folder / f"{'b' * 16}.jsonl", sha256="b" * 64, tokens=None, bytes=3_000_000_000
    )
    both = Dataset(training=TRAINING, validation=validation)
    for dataset in (DATASET, both, both):
        await database.write(partial(runs.save_dataset, dataset=dataset, at=NOW))
        async with database.read() as connection:
            assert await runs.get_dataset(connection, dataset.sha256, folder) == dataset
            row = await runs.get_dataset_row(connection, dataset.sha256)
            assert (row.examples, row.tokens, row.bytes) == (12, 500, 1000)


async def test_every_field_of_a_standing_comes_back(database: Database) -> None:
    standing = a_standing(
        "acme", organization="org-1", project="proj_1", labels=("eu", "b"), removed_at=NOW + 1, hold=ASIDE
    )
    for saved in (a_standing("acme"), standing, a_standing("zoe")):
        await save_standing(database, saved)
    async with database.read() as connection:
        assert await accounts.get_many(connection, ["acme"]) == {"acme": standing}
        assert await accounts.list_all(connection) == {"acme": standing, "zoe": a_standing("zoe")}


async def test_accounts_that_are_no_longer_listed_are_marked_once(database: Database) -> None:
    for name in ("a", "b", "c"):
        await save_standing(database, a_standing(name))
    await database.write(lambda tx: accounts.mark_removed_except(tx, ["a", "b"], NOW))
    await database.write(lambda tx: accounts.mark_removed_except(tx, ["a"], NOW + 1))
    async with database.read() as connection:
        everyone = await accounts.list_all(connection)
    assert {name: standing.removed_at for name, standing in everyone.items()} == {"a": None, "b": NOW + 1, "c": NOW}


async def test_no_account_is_listed_any_more(database: Database) -> None:
    await save_standing(database, a_standing("a"))
    await database.write(lambda tx: accounts.mark_removed_except(tx, [], NOW))
    async with database.read() as connection:
        assert (await accounts.get_many(connection, ["a"]))["a"].removed_at == NOW


async def test_the_history_of_an_account_is_its_newest_lines_oldest_first(database: Database) -> None:
    entries = [EventData(at=NOW - number, cause="test", note=str(number), account="acme") for number in range(5)]
    elsewhere = EventData(at=NOW, cause="test", note="elsewhere", account="other")
    async with database.transaction() as tx:
        tx.add_events(*entries, elsewhere)
    async with database.read() as connection:
        assert await events.list_by_account(connection, "acme") == entries
        assert await events.list_by_account(connection, "acme", limit=2) == entries[-2:]
        assert await events.list_by_account(connection, "nobody") == []


async def test_the_newest_line_of_each_job(database: Database) -> None:
    await fill(database, [a_job("a"), a_job("b"), a_job("silent")])
    for account, happened in [
        ("a", JobEvent.UPLOAD_STARTED),
        ("b", JobEvent.CANCELLED),
        ("a", JobEvent.FILE_UPLOADED),
    ]:
        outcome = advance(await read_job(database, account), happened, now=NOW)
        await record(database, outcome)
    async with database.read() as connection:
        newest = await events.get_latest_notes(connection, [id_of(account) for account in ("a", "b", "silent")])
        assert await events.get_latest_notes(connection, [JobId("nobody")]) == {}
    assert newest == {id_of("a"): "file uploaded", id_of("b"): "cancelled"}
