"""Models that are accepted by name, upon both databases: the record, what the read model says, and the exports."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select, update
from store_values import NOW, RUN, a_job, fill, id_of
from stored_comparisons import REASON, store_comparison

from orchestrator import status
from orchestrator.control.acceptances import accept_models, revoke_acceptances
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.exports import ExportFormat, export, select_models
from orchestrator.status import JobView
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import acceptances
from orchestrator.store.schema.tables import acceptances as acceptances_table
from orchestrator.store.schema.tables import events, jobs

ACCOUNTS = ("acme", "globex", "initech")
VERDICTS = {"acme": "alike", "globex": "different", "initech": "not_sure"}
BY = "operator:ada"


async def fill_models(database: Database, *, gate: bool = True) -> dict[str, str]:
    """Store a model of each account, and return their ids."""
    models = {name: f"ft:{name}:1" for name in ACCOUNTS}
    finished = [
        a_job(name, state=JobState.SUCCEEDED, fine_tuned_model=models[name], servable=True, wake_at=None)
        for name in ACCOUNTS
    ]
    await fill(database, finished, replace(RUN, gate=gate))
    return models


async def train_again(database: Database, account: str) -> str:
    """Replace the model of an account, as a retry does."""
    statement = update(jobs).where(jobs.c.id == id_of(account))
    changed = statement.values(fine_tuned_model=f"ft:{account}:2", version=jobs.c.version + 1)
    await database.write(lambda tx: tx.connection.execute(changed))
    return f"ft:{account}:2"


async def read_jobs(database: Database) -> dict[str, JobView]:
    snapshot = await status.get_status(database, NOW)
    return {job.account: job for job in snapshot.jobs}


async def export_ids(database: Database) -> dict[str, str | None]:
    snapshot = await status.get_status(database, NOW)
    ids: dict[str, str | None] = json.loads(export(ExportFormat.JSON, select_models("r", snapshot.jobs, {})).text)
    return ids


async def test_exports_hold_what_is_alike_or_accepted(database: Database) -> None:
    models = await fill_models(database)
    assert await export_ids(database) == dict.fromkeys(ACCOUNTS)
    await store_comparison(database, "c1", VERDICTS, models)
    assert await export_ids(database) == {"acme": models["acme"], "globex": None, "initech": None}
    await accept_models(database, ["globex"], reason=" It is stricter. ", by=BY, now=NOW)
    assert await export_ids(database) == {"acme": models["acme"], "globex": models["globex"], "initech": None}
    view = (await read_jobs(database))["globex"]
    assert view.comparison is not None
    assert (view.comparison.verdict, view.comparison.reasons, view.comparison.comparison_id) == (
        "different",
        (REASON,),
        "c1",
    )
    assert (view.comparison.accepted_by, view.comparison.accepted_reason) == (BY, "It is stricter.")
    await revoke_acceptances(database, ["globex"], by="operator:bob", now=NOW + 1)
    assert (await export_ids(database))["globex"] is None


async def test_gate_that_is_off_leaves_nothing_out(database: Database) -> None:
    models = await fill_models(database, gate=False)
    await store_comparison(database, "c1", VERDICTS, models)
    assert await export_ids(database) == models
    assert {job.gated for job in (await read_jobs(database)).values()} == {False}


async def test_model_that_is_trained_later_is_neither_alike_nor_accepted(database: Database) -> None:
    models = await fill_models(database)
    await store_comparison(database, "c1", VERDICTS, models)
    await accept_models(database, ["globex"], reason="tested", by=BY, now=NOW)
    for name in ("acme", "globex"):
        await train_again(database, name)
    assert await export_ids(database) == dict.fromkeys(ACCOUNTS)
    views = await read_jobs(database)
    assert [views[name].comparison for name in ("acme", "globex")] == [None, None]
    assert "has not been compared" in (views["globex"].gate_obstacle or "")
    await accept_models(database, ["globex"], reason="tested again", by=BY, now=NOW + 1)
    assert (await export_ids(database))["globex"] == "ft:globex:2"


async def test_latest_finished_comparison_decides(database: Database) -> None:
    models = await fill_models(database)
    await store_comparison(database, "c1", VERDICTS, models)
    await store_comparison(database, "c2", {"acme": "different", "globex": "alike"}, models, at=NOW + 60)
    assert await export_ids(database) == {"acme": None, "globex": models["globex"], "initech": None}
    views = await read_jobs(database)
    assert views["initech"].comparison is None  # the latest comparison did not ask it


async def test_acceptance_and_revocation_are_on_the_record(database: Database) -> None:
    models = await fill_models(database)
    await store_comparison(database, "c1", VERDICTS, models)
    [accepted] = await accept_models(database, ["globex"], reason="tested", by=BY, now=NOW + 1)
    assert (accepted.model, accepted.job_id, accepted.comparison_id) == (models["globex"], id_of("globex"), "c1")
    [revoked] = await revoke_acceptances(database, ["globex"], by="operator:bob", now=NOW + 2)
    assert revoked.id == accepted.id
    async with database.read() as connection:
        notes = select(events.c.account, events.c.note, events.c.cause, events.c.message, events.c.run_id)
        rows = list(await connection.execute(notes.where(events.c.job_id == id_of("globex")).order_by(events.c.id)))
        [record] = await connection.execute(select(acceptances_table))
        assert await acceptances.list_in_force(connection, RUN.id) == []
    assert [tuple(row) for row in rows[-2:]] == [
        ("globex", "model accepted", BY, f"{models['globex']}: tested", RUN.id),
        ("globex", "acceptance revoked", "operator:bob", f"{models['globex']}: tested", RUN.id),
    ]
    assert (record.accepted_by, record.revoked_by, record.revoked_at) == (BY, "operator:bob", NOW + 2)


async def test_only_models_that_need_it_are_accepted(database: Database) -> None:
    models = await fill_models(database)
    await store_comparison(database, "c1", VERDICTS, models)
    with pytest.raises(NothingToDo, match="the models of acme are alike or accepted already"):
        await accept_models(database, ["acme"], reason="tested", by=BY, now=NOW)
    accepted = await accept_models(database, ACCOUNTS, reason="tested", by=BY, now=NOW)
    assert [each.account for each in accepted] == ["globex", "initech"]
    with pytest.raises(NothingToDo, match="nothing to accept"):
        await accept_models(database, ["globex"], reason="again", by=BY, now=NOW)
    with pytest.raises(NothingToDo, match="no model of acme is accepted in run support"):
        await revoke_acceptances(database, ["acme"], by=BY, now=NOW)
    assert await accept_models(database, [], reason="tested", by=BY, now=NOW) == []


async def test_wrong_requests_change_nothing(database: Database) -> None:
    await fill_models(database)
    await fill(database, [a_job("late", state=JobState.RUNNING)], replace(RUN, gate=True))
    for names, reason, message in (
        (["globex"], "  ", "requires a reason"),
        (["nobody"], "tested", "no account is named nobody"),
        (["globex", "late"], "tested", "run support has no model of late that could be accepted"),
    ):
        with pytest.raises(ConfigError, match=message):
            await accept_models(database, names, reason=reason, by=BY, now=NOW)
    with pytest.raises(ConfigError, match="no current run"):
        await accept_models(database, ["globex"], reason="tested", by=BY, now=NOW, run_name="other")
    async with database.read() as connection:
        assert await acceptances.list_in_force(connection, RUN.id) == []


async def test_every_view_of_a_job_has_its_verdict(database: Database) -> None:
    models = await fill_models(database)
    await store_comparison(database, "c1", VERDICTS, models)
    wanted = (await read_jobs(database))["globex"].comparison
    assert wanted is not None
    listing = await status.list_jobs(database, JobFilter(), NOW)
    account = await status.find_account(database, "globex", NOW)
    job = await status.find_job(database, id_of("globex"), NOW)
    matrix = await status.get_run_matrix(database, JobFilter(), NOW, limit=5)
    assert listing is not None
    assert account is not None
    assert job is not None
    cell = next(row.jobs[0] for row in matrix.rows if row.account == "globex")
    assert cell is not None
    found = [next(each for each in listing.jobs if each.account == "globex"), account.jobs[0].job, job.job, cell]
    assert [each.comparison for each in found] == [wanted] * 4
    assert all(each.gate_obstacle for each in found)
