"""Comparisons of one run one after another: which models have changed since the one before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comparison_bench import ACCOUNTS, ComparisonBench, write_part

from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.dataset import Dataset
from orchestrator.core.notifications.comparison_notifications import build_comparison_notification
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records


def example(number: int) -> bytes:
    messages = [
        {"role": "user", "content": f"How many apples are {number} and 3?"},
        {"role": "assistant", "content": f"There are {number + 3} apples in the basket."},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> ComparisonBench:
    return ComparisonBench(
        database,
        Dataset(
            training=write_part(tmp_path, range(20), example),
            validation=write_part(tmp_path, range(100, 180), example),
        ),
    )


async def compare(bench: ComparisonBench) -> Comparison:
    ended = await bench.run(await bench.plan())
    assert ended.state is ComparisonState.FINISHED
    return ended


def drifts(comparison: Comparison) -> dict[str, dict[str, Any] | None]:
    assert comparison.result is not None
    return {each["account"]: each["drift"] for each in comparison.result["accounts"]}


def changes(comparison: Comparison) -> dict[str, tuple[str, bool | None] | None]:
    return {
        name: None if drift is None else (drift["comparison"], drift["changed"])
        for name, drift in drifts(comparison).items()
    }


async def test_model_whose_answers_changed_is_found_and_the_others_are_not(bench: ComparisonBench) -> None:
    first = await compare(bench)
    assert changes(first) == dict.fromkeys(ACCOUNTS)
    second = await compare(bench)
    assert changes(second) == dict.fromkeys(ACCOUNTS, (first.id, False))
    await bench.set_answers({"accounts": ["globex"], "changed": 0.5})
    third = await compare(bench)
    assert changes(third) == {**dict.fromkeys(ACCOUNTS, (second.id, False)), "globex": (second.id, True)}
    data = build_comparison_notification(third, bench.now).to_payload()["data"]
    assert data["changed"] == ["globex"]
    assert data["drift"] == "model changed since an earlier comparison: globex"
    fourth = await compare(bench)
    assert changes(fourth) == dict.fromkeys(ACCOUNTS, (third.id, False))


async def test_only_the_same_questions_to_the_same_model_with_stored_texts_count(bench: ComparisonBench) -> None:
    first = await compare(bench)
    bench.settings = replace(bench.settings, store_answers=False)
    assert changes(await compare(bench)) == dict.fromkeys(ACCOUNTS, (first.id, False))
    bench.settings = replace(bench.settings, max_output_tokens=65)
    assert changes(await compare(bench)) == dict.fromkeys(ACCOUNTS)
    bench.settings = replace(bench.settings, max_output_tokens=64, store_answers=True)
    planned = await bench.plan()
    retrained = [
        replace(each, fine_tuned_model="ft:new") if each.name == "acme-eu" else each for each in planned.models
    ]
    stored = replace(planned, id="f" * 16, models=tuple(retrained))
    await bench.database.write(lambda tx: comparison_records.add(tx, stored))
    assert changes(await bench.run(stored)) == {
        **dict.fromkeys(ACCOUNTS, (first.id, False)),
        "acme-eu": None,
    }


async def test_comparison_in_which_a_model_did_not_answer_is_passed_over(bench: ComparisonBench) -> None:
    first = await compare(bench)
    connection = bench.connections.pop("globex")
    second = await compare(bench)
    assert drifts(second)["globex"] is not None  # no probe has two answers: too few
    bench.connections["globex"] = connection
    assert changes(await compare(bench)) == {
        **dict.fromkeys(ACCOUNTS, (second.id, False)),
        "globex": (first.id, False),
    }
