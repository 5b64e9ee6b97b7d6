"""The read model of comparisons on both databases, and the texts of their probes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from compared_run import ComparedRun, create_compared_run
from comparison_worlds import World
from store_values import RUN, a_job, fill

from orchestrator import status
from orchestrator.app.probe_reader import ProbeReader
from orchestrator.core.comparison.behaviour_probes import list_behaviour_probes
from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.comparison.probe import parse_probe
from orchestrator.core.dataset import Dataset, DatasetPart, local_filename
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import runs
from orchestrator.store.queries.comparisons import comparison_records

WORLD = World(seed=3, accounts=3, probes=30, refused=0.5)


async def store(database: Database, compared: ComparedRun) -> None:
    await fill(database, [a_job("acme-eu")])
    opened = replace(compared.comparison, run_id=RUN.id, state=ComparisonState.ASKING, result=None, claimed_by="one")

    async def add(tx: Transaction) -> None:
        await comparison_records.add(tx, opened)
        await comparison_records.save_progress(tx, opened, compared.answers, claimed_until=1.0)

    await database.write(add)


async def test_open_comparison_is_shown_as_progress_and_then_as_result(database: Database) -> None:
    compared = create_compared_run(WORLD)
    await store(database, compared)
    asking = await status.find_run_comparisons(database)
    assert asking is not None
    assert asking.shown is None
    assert asking.asking is not None
    assert (asking.asking.answered, asking.asking.planned) == (210, 210)

    await database.write(
        lambda tx: comparison_records.finish(tx, replace(compared.comparison, run_id=RUN.id), at=2.0, cause="me")
    )
    finished = await status.find_run_comparisons(database, run_id=RUN.id)
    assert finished is not None
    assert finished.asking is None
    assert finished.shown is not None
    assert finished.shown.result == compared.document
    assert [(each.id, each.state) for each in finished.latest] == [(compared.comparison.id, ComparisonState.FINISHED)]
    assert await status.find_run_comparisons(database, comparison_id="unknown") is None
    assert await status.find_run_comparisons(database, run_id="unknown") is None


async def test_probes_are_summarised_by_their_different_answers(database: Database) -> None:
    compared = create_compared_run(WORLD)
    await store(database, compared)
    summaries = {each.probe_id: each for each in await status.list_probe_summaries(database, compared.comparison.id)}
    assert set(summaries) == set(compared.comparison.probe_ids)
    for probe_id, summary in summaries.items():
        first = [each for each in compared.answers if each.probe_id == probe_id and each.round == 1]
        assert summary.answers == len(first) == 4
        assert summary.distinct == len({each.text_sha256 for each in first})
        assert summary.unusual == sum(each.outcome != "answered" for each in first)
    assert any(each.unusual for each in summaries.values())
    wanted = compared.comparison.probe_ids[:2]
    answers = await status.list_comparison_answers(database, compared.comparison.id, wanted)
    assert sorted(answers, key=str) == sorted((each for each in compared.answers if each.probe_id in wanted), key=str)


async def test_texts_of_probes_are_read_from_the_held_out_file(database: Database, tmp_path: Path) -> None:
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]})
        for n in range(5)
    ]
    content = "\n".join(lines).encode() + b"\n"
    digest = sha256(content).hexdigest()
    held_out = DatasetPart(path=tmp_path, sha256=digest, bytes=len(content), examples=5, tokens=None)
    training = replace(held_out, sha256="11" * 32)
    await database.write(lambda tx: runs.save_dataset(tx, Dataset(training=training, validation=held_out), 1.0))
    run: Run = replace(RUN, id=RUN.id, dataset_sha256=Dataset(training=training, validation=held_out).sha256)
    await database.write(lambda tx: runs.save(tx, run))
    probes = [probe for line in lines[:3] if (probe := parse_probe(line.encode())) is not None]
    behaviour = list_behaviour_probes()[0]
    comparison = replace(
        create_compared_run(WORLD).comparison,
        run_id=run.id,
        probe_ids=(*(probe.probe_id for probe in probes), behaviour.probe_id),
    )
    reader = ProbeReader(database, tmp_path)
    assert set(await reader.find_probes(comparison)) == {behaviour.probe_id}  # the file is on another machine
    (tmp_path / local_filename(digest)).write_bytes(content)
    found = await reader.find_probes(comparison)
    assert found == {probe.probe_id: probe for probe in (*probes, behaviour)}
    own = tmp_path / "own.jsonl"
    own.write_bytes(content + b"not JSON\n[]\n\n")
    named = replace(comparison, probe_set="own", settings=replace(comparison.settings, probes_file=str(own)))
    (tmp_path / local_filename(digest)).unlink()
    assert await reader.find_probes(named) == found  # those of the operator's own file
    assert await reader.find_probes(comparison) is found
