"""A comparison that is asked at a sandbox: interrupted, continued, limited, and with models that differ."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from comparison_bench import ComparisonBench, KilledProcess, write_part
from sqlalchemy import select
from store_values import RUN

from orchestrator.control.accounts import hold_accounts
from orchestrator.control.comparisons import stop_comparison
from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons.comparison_result import (
    ResultRequest,
    build_result_request,
    compute_document,
)
from orchestrator.daemon.comparisons.probe_source import load_probes
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.schema.tables import events


def example(number: int) -> bytes:
    messages = [
        {"role": "user", "content": f"How many apples are {number} and {number + 3}?"},
        {"role": "assistant", "content": f"There are {2 * number + 3} apples in the basket."},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(
        training=write_part(tmp_path, range(20), example), validation=write_part(tmp_path, range(100, 180), example)
    )


@pytest.fixture
def bench(database: Database, dataset: Dataset) -> ComparisonBench:
    return ComparisonBench(database, dataset)


def verdicts(comparison: Comparison) -> dict[str, str]:
    assert comparison.result is not None, comparison.message
    return {each["account"]: each["verdict"] for each in comparison.result["accounts"]}


def reasons(comparison: Comparison, account: str) -> str:
    assert comparison.result is not None
    return " ".join(next(each["reasons"] for each in comparison.result["accounts"] if each["account"] == account))


def without_cost_and_drift(comparison: Comparison) -> dict[str, Any]:
    """Return what two comparisons with the same answers have in common."""
    result = comparison.result or {}
    accounts = [{**each, "drift": None} for each in result["accounts"]]
    return {key: value for key, value in result.items() if key not in {"usd", "requests"}} | {"accounts": accounts}


async def test_models_that_answer_alike(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    started = bench.now
    ended = await bench.run(comparison)
    assert ended.state is ComparisonState.FINISHED
    assert set(verdicts(ended).values()) <= {"alike", "not_sure"}
    assert ended.requests == len(bench.sandbox.questions) == 40 * (3 * 2 + 1)
    assert ended.spent_usd == pytest.approx(bench.sandbox.count_usd())
    assert bench.now >= started + bench.settings.round_gap_seconds
    async with bench.database.read() as connection:
        assert await comparison_records.find_latest_finished(connection, RUN.id) == ended
        assert await comparison_records.find_open(connection, RUN.id) is None
        assert [each.id for each in await comparison_records.list_by_run(connection, RUN.id, 5)] == [ended.id]
    answers = await bench.list_answers(comparison)
    assert {answer.outcome for answer in answers} == {AnswerOutcome.ANSWERED}
    assert all(answer.text_sha256 == sha256((answer.text or "").encode()).hexdigest() for answer in answers)


@pytest.mark.parametrize(
    ("behaviour", "verdict", "reason"),
    [
        ({"changed": 0.9}, "different", "distance"),
        ({"refused": 0.6}, "different", "refuses"),
        ({"filtered": 0.6}, "different", "filter"),
        ({"prompt_tokens": 30}, "not_comparable", "tokens"),
        ({"base": 1.0}, "different", "distance"),
    ],
    ids=["changed", "refused", "filtered", "system message", "base"],
)
async def test_model_that_differs_is_recognised_with_its_reason(
    bench: ComparisonBench, behaviour: dict[str, Any], verdict: str, reason: str
) -> None:
    await bench.set_answers({"accounts": ["globex"], **behaviour})
    ended = await bench.run(await bench.plan())
    assert verdicts(ended)["globex"] == verdict
    assert reason in reasons(ended, "globex")
    assert {verdicts(ended)[name] for name in ("acme-eu", "acme-us")} <= {"alike", "not_sure"}


async def test_model_trained_with_half_of_the_dataset_stands_out(bench: ComparisonBench) -> None:
    await bench.set_answers({"variation": 0.15, "noise": 0.05})
    bench.training_shares["globex"] = 0.5
    ended = await bench.run(await bench.plan())
    assert verdicts(ended)["globex"] == "different"
    assert "stands out: distance" in reasons(ended, "globex")
    assert {verdicts(ended)[name] for name in ("acme-eu", "acme-us")} <= {"alike", "not_sure"}


async def test_account_that_is_put_on_hold_is_asked_nothing_more(
    bench: ComparisonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, sleep = await bench.plan(), bench.sleep
    before: list[int] = []

    async def hold_and_sleep(seconds: float) -> None:
        if not before:  # the pause between the two rounds
            await hold_accounts(bench.database, ["globex"], reason="the customer left", by="me", now=bench.now)
            before.append(sum(each.account == "globex" for each in bench.sandbox.questions))
        await sleep(seconds)

    monkeypatch.setattr(bench, "sleep", hold_and_sleep)
    ended = await bench.run(comparison)
    asked = Counter(each.account for each in bench.sandbox.questions)
    assert before == [asked["globex"]]
    assert asked["acme-us"] > asked["globex"] > 0
    errors = {each.message for each in await bench.list_answers(comparison) if each.outcome is AnswerOutcome.ERROR}
    assert errors == {"account globex is on hold: the customer left"}
    assert verdicts(ended)["globex"] not in {"alike", "different"}


async def test_model_of_another_base_model_is_not_comparable(bench: ComparisonBench) -> None:
    """The id of the fine-tuned model names its base model, whatever the run had asked for."""
    bench.base_models["globex"] = "sandbox-large"
    ended = await bench.run(await bench.plan())
    assert verdicts(ended)["globex"] == "not_comparable"
    assert "another base model" in reasons(ended, "globex")
    assert {verdicts(ended)[name] for name in ("acme-eu", "acme-us")} <= {"alike", "not_sure"}


async def test_deployed_model_of_another_base_model_is_not_comparable(bench: ComparisonBench) -> None:
    """Its id counts, because a deployment has a name of its own."""
    comparison = await bench.plan()
    deployed = [
        replace(model, model=f"deployment-of-{model.account}", fine_tuned_model=f"ft:{base}:{model.account}::x")
        for model, base in zip(comparison.models, ("small", "small", "large"), strict=False)
    ]
    probes = bench.probes
    request = build_result_request(replace(comparison, models=tuple(deployed)), probes, {})
    assert [each.serving for each in request.given.models] == ["small", "small", "large"]


async def test_account_whose_gateway_adds_a_system_message_is_not_comparable(bench: ComparisonBench) -> None:
    bench.sandbox.added_messages["globex"] = "Answer as a pirate would."
    ended = await bench.run(await bench.plan())
    assert verdicts(ended)["globex"] == "not_comparable"
    assert "an added system prompt" in reasons(ended, "globex")


async def test_killed_comparison_is_continued_without_asking_twice(bench: ComparisonBench) -> None:
    await bench.set_answers({"variation": 0.2})
    uninterrupted = await bench.run(await bench.plan())
    comparison = await bench.plan()
    bench.sandbox.questions.clear()
    bench.sandbox.kill_after = 150
    with pytest.raises(KilledProcess):
        await bench.run(comparison)
    bench.sandbox.kill_after = None
    asked_before = len(bench.sandbox.questions)
    with pytest.raises(NothingToDo, match="another process"):
        await bench.run(comparison, owner="two")
    stored = await bench.list_answers(comparison)  # only now: the database may have been writing the last batch
    assert asked_before - 60 <= len(stored) <= asked_before  # two batches may be lost, and the calls in flight
    bench.sandbox.now += 1_000
    ended = await bench.run(comparison, owner="two")
    assert ended.state is ComparisonState.FINISHED
    asked = Counter((each.account, each.model, each.messages) for each in bench.sandbox.questions)
    answered_before = {(each.model, each.probe_id, each.round) for each in stored}
    kept = [each for each in await bench.list_answers(comparison) if each.key in answered_before]
    assert kept == stored
    asked_again = len(bench.sandbox.questions) - 40 * (3 * 2 + 1)
    assert asked_again == asked_before - len(stored)
    assert max(asked.values()) <= 3
    assert ended.result is not None
    assert uninterrupted.result is not None
    assert without_cost_and_drift(ended) == without_cost_and_drift(uninterrupted)


async def test_limit_in_dollars_stops_before_it_is_exceeded(bench: ComparisonBench) -> None:
    bench.settings = replace(bench.settings, max_usd=0.01)
    ended = await bench.run(await bench.plan())
    assert ended.state is ComparisonState.STOPPED
    assert "max_usd (0.01) would be exceeded" in (ended.message or "")
    assert 0 < bench.sandbox.count_usd() <= 0.01
    with pytest.raises(NothingToDo):
        await bench.run(ended)


async def test_temporary_failures_are_retried_and_lasting_ones_are_errors(bench: ComparisonBench) -> None:
    bench.sandbox.failures = [
        httpx2.Response(429, json={"error": {"code": "rate_limit_exceeded"}}, headers={"retry-after": "3"}),
        httpx2.Response(500),
    ]
    ended = await bench.run(await bench.plan())
    assert ended.state is ComparisonState.FINISHED
    assert {answer.outcome for answer in await bench.list_answers(ended)} == {AnswerOutcome.ANSWERED}


async def test_model_that_is_not_found_once_is_asked_again(bench: ComparisonBench) -> None:
    """Of a deployment that has just become ready, a part of the provider may not know yet."""
    bench.sandbox.failures = [httpx2.Response(404, json={"error": {"code": "DeploymentNotFound"}})] * 3
    ended = await bench.run(await bench.plan())
    assert {answer.outcome for answer in await bench.list_answers(ended)} == {AnswerOutcome.ANSWERED}
    assert "not_comparable" not in verdicts(ended).values()


async def test_call_without_an_answer_counts_as_spent(bench: ComparisonBench) -> None:
    """The provider may bill it: otherwise the limit could be exceeded."""
    bench.sandbox.failures = [httpx2.Response(500)] * 6 * 4  # all attempts at the first question to each model
    ended = await bench.run(await bench.plan())
    assert ended.spent_usd is not None
    assert ended.spent_usd > bench.sandbox.count_usd() + 4 * 64 * 3.2e-6


async def test_account_that_cannot_be_asked_is_not_comparable_and_not_asked_on(bench: ComparisonBench) -> None:
    comparison = await bench.plan()
    del bench.connections["globex"]
    ended = await bench.run(comparison)
    assert verdicts(ended)["globex"] == "not_comparable"
    assert "globex" not in {each.account for each in bench.sandbox.questions}


async def test_account_that_is_removed_meanwhile_is_not_asked_on(
    bench: ComparisonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, sleep = await bench.plan(), bench.sleep

    async def remove_and_sleep(seconds: float) -> None:
        bench.connections.pop("globex", None)
        await sleep(seconds)

    monkeypatch.setattr(bench, "sleep", remove_and_sleep)
    ended = await bench.run(comparison)
    assert Counter(each.account for each in bench.sandbox.questions)["globex"] == 40  # of the first round
    messages = {each.message for each in await bench.list_answers(ended) if (each.model, each.round) == ("globex", 2)}
    assert messages == {"account globex is not connected: it is not listed, or its key is missing"}


async def test_texts_are_deleted_at_the_end_if_the_run_forbids_to_store_them(bench: ComparisonBench) -> None:
    bench.settings = replace(bench.settings, store_answers=False)
    ended = await bench.run(await bench.plan())
    answers = await bench.list_answers(ended)
    assert {answer.text for answer in answers} == {None}
    assert len({answer.text_sha256 for answer in answers}) > 10


async def test_result_that_comes_after_a_stop_is_not_returned(bench: ComparisonBench) -> None:
    """The command must not print verdicts that the database does not have."""
    comparison = await bench.plan()

    async def compute_after_stop(request: ResultRequest) -> dict[str, Any]:
        await stop_comparison(bench.database, comparison.id, by="operator:bob", now=bench.now)
        return compute_document(request)

    with pytest.raises(NothingToDo, match="has ended"):
        await bench.create_runner(compute=compute_after_stop).run(comparison.id, bench.probes, cause="operator:ada")
    async with bench.database.read() as connection:
        stored = await comparison_records.find(connection, comparison.id)
    assert stored is not None
    assert (stored.state, stored.message) == (ComparisonState.STOPPED, "stopped by an operator")


async def test_comparison_is_in_the_history(bench: ComparisonBench) -> None:
    await bench.run(await bench.plan())
    async with bench.database.read() as connection:
        history = await connection.execute(select(events.c.note, events.c.cause).order_by(events.c.id))
    assert [tuple(each) for each in history if each.note.startswith("comparison")] == [
        ("comparison started", "operator:ada"),
        ("comparison finished", "operator:ada"),
    ]


def test_run_without_held_out_examples_cannot_be_compared(bench: ComparisonBench) -> None:
    with pytest.raises(ConfigError, match="no held-out examples"):
        load_probes(replace(bench.dataset, validation=None), bench.settings)


def test_own_probes_replace_the_held_out_examples(bench: ComparisonBench, tmp_path: Path) -> None:
    own = write_part(tmp_path, range(500, 540), example)
    without = replace(bench.dataset, validation=None)
    settings = replace(bench.settings, probes_file=str(own.path))
    probes = load_probes(without, settings)
    assert len(probes) == 40
    assert all("are 5" in probe.messages for probe in probes)
    assert len(load_probes(without, replace(settings, behaviour_probes=True))) == 60
    with pytest.raises(ConfigError) as few:
        load_probes(without, replace(settings, probes_file=str(write_part(tmp_path, range(600, 610), example).path)))
    assert "has 10 probes; at least 30 are needed" in few.value.message
    with pytest.raises(ConfigError) as trained:
        load_probes(without, replace(settings, probes_file=str(bench.dataset.training.path)))
    assert trained.value.problems[0].endswith("every model knows its answer; remove the line")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_probes(without, replace(settings, probes_file=str(tmp_path / "missing.jsonl")))


async def test_models_are_asked_own_probes(bench: ComparisonBench, tmp_path: Path) -> None:
    bench.settings = replace(bench.settings, probes_file=str(write_part(tmp_path, range(500, 540), example).path))
    ended = await bench.run(await bench.plan())
    assert ended.state is ComparisonState.FINISHED
    assert any("are 500 and" in each.messages for each in bench.sandbox.questions)
    async with bench.database.read() as connection:
        stored = await comparison_records.find(connection, ended.id)
    assert stored is not None
    assert stored.settings == bench.settings


def test_probes_are_never_examples_of_the_training(bench: ComparisonBench, tmp_path: Path) -> None:
    overlapping = replace(bench.dataset, validation=write_part(tmp_path, range(5, 60), example))
    prompts = [probe.messages for probe in load_probes(overlapping, bench.settings)]
    assert len(prompts) == 40
    assert not any(f"are {number} and" in prompt for prompt in prompts for number in range(20))
