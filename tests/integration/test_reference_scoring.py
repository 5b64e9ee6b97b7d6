"""A comparison in which the provider reports the log-probability of the reference answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from comparison_bench import ACCOUNTS, INPUT_USD, OUTPUT_USD, ComparisonBench, KilledProcess, write_part

from orchestrator.core.account import ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import RequestRejected
from orchestrator.core.inference import ReferenceQuestion, ReferenceScore
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons import comparison_planner
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records

PROBES = 30
VALUE = -1.2


def example(number: int) -> bytes:
    messages = [
        {"role": "user", "content": f"How many apples are {number} and {number + 3}?"},
        {"role": "assistant", "content": f"There are {2 * number + 3} apples in the basket."},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


@dataclass
class ReportingProvider:
    """Asks the sandbox, and reports log-probabilities, lower by `lower`, unless it fails or kills the process."""

    inner: Any
    counts: Counter[str]  # of the scored references
    lower: float = 0.0
    failure: ReferenceScore | RequestRejected | None = None
    kill_after: int | None = None
    used: list[int] = field(default_factory=list)  # tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def score_reference(self, _: Any, question: ReferenceQuestion) -> ReferenceScore:
        if self.kill_after == 0:
            raise KilledProcess
        if self.kill_after is not None:
            self.kill_after -= 1
        self.counts[question.reference] += 1
        if isinstance(self.failure, RequestRejected):
            raise self.failure
        if self.failure is not None:
            return self.failure
        tokens = question.prompt_tokens + 8
        self.used.append(tokens)
        value = VALUE - self.lower
        return ReferenceScore(is_reported=True, mean_logprob=value, prompt_tokens=tokens, output_tokens=1)


@pytest.fixture
def bench(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ComparisonBench:
    compatible = replace(PROVIDERS[ProviderName.OPENAI_COMPATIBLE], scores_references=True)
    monkeypatch.setattr(comparison_planner, "PROVIDERS", {**PROVIDERS, ProviderName.OPENAI_COMPATIBLE: compatible})
    training, validation = (write_part(tmp_path, numbers, example) for numbers in (range(20), range(100, 160)))
    bench = ComparisonBench(database, Dataset(training=training, validation=validation))
    bench.settings = replace(bench.settings, probes=PROBES)
    return bench


def report(bench: ComparisonBench, **options: Mapping[str, Any]) -> dict[str, ReportingProvider]:
    """Let all accounts report; `options` are those of some providers, by account."""
    providers = {}
    for name, connection in bench.connections.items():
        provider = ReportingProvider(connection.provider, Counter(), **options.get(name.replace("-", "_"), {}))
        providers[name] = provider
        bench.connections[name] = replace(connection, provider=provider)
    return providers


def list_kinds(comparison: Comparison) -> set[str]:
    assert comparison.result is not None
    return {one["kind"] for each in comparison.result["accounts"] for one in each["measurements"]}


async def test_account_with_less_likely_references_is_different(bench: ComparisonBench) -> None:
    providers = report(bench, globex={"lower": 0.3})
    comparison = await bench.run(await bench.plan())
    assert comparison.result is not None
    assert comparison.state is ComparisonState.FINISHED
    verdicts = {each["account"]: each for each in comparison.result["accounts"]}
    assert verdicts["globex"]["verdict"] == "different"
    assert verdicts["globex"]["reasons"][0].startswith("gives the reference answers a log-probability of -1.")
    assert {verdicts[name]["verdict"] for name in ACCOUNTS[:2]} <= {"alike", "not_sure"}
    for provider in providers.values():
        assert (len(provider.counts), provider.counts.total()) == (PROBES, PROBES)
    assert comparison.requests == (3 * 3 + 1) * PROBES  # the base model is asked once
    scored = sum(tokens * INPUT_USD + OUTPUT_USD for each in providers.values() for tokens in each.used)
    assert comparison.spent_usd == pytest.approx(bench.sandbox.count_usd() + scored)


@pytest.mark.parametrize(
    "failure", [ReferenceScore(is_reported=False), RequestRejected("echo is not supported", hint="")]
)
async def test_one_account_without_values_ends_the_scoring_of_all(
    bench: ComparisonBench, failure: ReferenceScore | RequestRejected
) -> None:
    providers = report(bench, acme_us={"failure": failure}, globex={"lower": 0.5})
    comparison = await bench.run(await bench.plan())
    assert comparison.state is ComparisonState.FINISHED
    assert "likelihood" not in list_kinds(comparison)
    assert sum(each.counts.total() for each in providers.values()) <= 3


async def test_killed_scoring_continues_without_losing_what_was_stored(bench: ComparisonBench) -> None:
    providers = report(bench, globex={"lower": 0.3, "kill_after": 20})
    planned = await bench.plan()
    with pytest.raises(KilledProcess):
        await bench.run(planned)
    async with bench.database.read() as connection:
        stored = await comparison_records.find(connection, planned.id)
    assert stored is not None
    kept = {model.name: dict(model.reference_logprobs) for model in stored.models}
    assert sum(map(len, kept.values())) > 20
    providers["globex"].kill_after = None
    bench.sandbox.now += 60
    comparison = await bench.run(planned, "two")
    assert comparison.result is not None
    scored_again = sum(each.counts.total() - PROBES for each in providers.values())
    assert scored_again <= 40  # the last batch, and what was in flight
    assert {len(each.counts) for each in providers.values()} == {PROBES}
    for model in comparison.models:
        assert model.reference_logprobs.items() >= kept[model.name].items()
        lower = providers[model.account].lower if not model.is_base else 0.0
        assert set(model.reference_logprobs.values()) <= {VALUE - lower}
    assert "likelihood" in list_kinds(comparison)
