"""What is scraped, read back by Prometheus' own parser."""

from __future__ import annotations

import re
import runpy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from metric_names import every_name
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure, RateLimited
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.observer import ServiceObserver
from orchestrator.core.jobs.transitions import advance, hold_job, poll_again, retry_later, sleep_until
from orchestrator.metrics import ALL_METRICS, MetricDefinition, MetricsRecorder
from orchestrator.providers.base import Provider
from orchestrator.providers.instrumentation import instrument_provider
from orchestrator.status import MetricsSnapshot, ProblemGroup, StateCount
from orchestrator.status.metrics_snapshot import DeploymentUsage

ROOT = Path(__file__).parents[3]
NOW = 1_790_000_000.0
NEVER = Failure("quota_exhausted", "no credit", "Add credit.")


def a_job(**values: Any) -> Job:
    known: dict[str, Any] = {"id": JobId("1"), "run_id": RunId("2"), "account": "a", "base_model": "m"}
    return Job(**known | {"provider": ProviderName.OPENAI, "created_at": NOW, "state_since": NOW} | values)


def share(provider: str, state: str, count: int, **values: Any) -> StateCount:
    known: dict[str, Any] = dict.fromkeys(StateCount.__struct_fields__)
    known |= {"usd": 0.0, "submitted_usd": 0.0, "unknown": 0}
    return StateCount(**known | {"provider": provider, "state": state, "count": count} | values)


def cause(kind: str, count: int, *, held: bool) -> ProblemGroup:
    known: dict[str, Any] = dict.fromkeys(ProblemGroup.__struct_fields__)
    return ProblemGroup(**known | {"error": Failure(kind, "", ""), "held": held, "count": count, "message_count": 1})


def samples(metrics: MetricsRecorder, tally: MetricsSnapshot | None = None) -> list[Sample]:
    text = metrics.render(tally or MetricsSnapshot()).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def found(metrics: MetricsRecorder, name: str, tally: MetricsSnapshot | None = None) -> dict[tuple[str, ...], float]:
    """The values of one metric by its labels' values."""
    (order,) = (metric.labels for metric in ALL_METRICS if name in every_name(metric))
    return {tuple(each.labels[x] for x in order): each.value for each in samples(metrics, tally) if each.name == name}


def test_gauges_sum_what_deployments_cost_by_provider() -> None:
    hourly = DeploymentUsage(provider="fireworks", state="ready", hours=2.0, usd_per_hour=5.8, usd=11.6)
    unknown = DeploymentUsage(provider="together", state="starting", hours=0.5, usd_per_hour=None, usd=None)
    tally = MetricsSnapshot(deployments=[hourly, hourly, unknown])
    metrics = MetricsRecorder("1")
    counts = found(metrics, "orchestrator_deployments", tally)
    assert (counts["fireworks", "ready"], counts["together", "starting"], counts["together", "ready"]) == (2, 1, 0)
    assert found(metrics, "orchestrator_deployment_hours", tally) == {("fireworks",): 4.0, ("together",): 0.5}
    assert found(metrics, "orchestrator_deployment_usd_per_hour", tally)[("fireworks",)] == 11.6
    assert found(metrics, "orchestrator_deployment_usd", tally) == {("fireworks",): 23.2, ("together",): 0.0}
    assert found(metrics, "orchestrator_unpriced_deployments", tally) == {("fireworks",): 0.0, ("together",): 1.0}


def test_gauges_show_the_current_tally() -> None:
    tally = MetricsSnapshot(
        state_counts=[
            share("openai", "running", 3, usd=3.0, submitted_usd=2.0),
            share("openai", "held", 2, usd=1.0),
            share("together", "queued", 1, unknown=1),
        ],
        problem_groups=[
            cause("quota_exhausted", 1, held=True),
            cause("quota_exhausted", 1, held=True),
            cause("bad", 4, held=False),
        ],
        run_holds=["run_too_dear"],
        planned_tokens={"openai": 1500},
        trained_tokens={"openai": 500},
        first_retirement_dates={"openai": date(2027, 1, 14)},
        due=7,
        oldest_due=2.5,
        replicas=3,
    )
    metrics = MetricsRecorder("1.2.3")
    jobs = found(metrics, "orchestrator_jobs", tally)
    assert len(jobs) == 2 * (len(JobState) + 1), "each state, or a graph would end instead of falling to 0"
    assert {labels: count for labels, count in jobs.items() if count} == {
        ("openai", "running"): 3,
        ("openai", "held"): 2,
        ("together", "queued"): 1,
    }
    assert found(metrics, "orchestrator_held_jobs", tally) == {("quota_exhausted",): 2}
    assert found(metrics, "orchestrator_failed_jobs", tally) == {("bad",): 4}
    assert found(metrics, "orchestrator_run_held", tally) == {("run_too_dear",): 1}
    assert found(metrics, "orchestrator_planned_usd", tally)["openai",] == 4
    assert found(metrics, "orchestrator_submitted_usd", tally) == {("openai",): 2, ("together",): 0}
    assert found(metrics, "orchestrator_unpriced_jobs", tally) == {("openai",): 0, ("together",): 1}
    assert found(metrics, "orchestrator_planned_tokens", tally) == {("openai",): 1500}
    assert found(metrics, "orchestrator_trained_tokens", tally) == {("openai",): 500}
    (gone,) = found(metrics, "orchestrator_retirement_timestamp_seconds", tally).values()
    assert gone == 1_799_971_200, "2027-01-15 00:00 UTC"
    assert found(metrics, "orchestrator_due_jobs", tally) == {(): 7}
    assert found(metrics, "orchestrator_oldest_due_seconds", tally) == {(): 2.5}
    assert found(metrics, "orchestrator_replicas", tally) == {(): 3}
    assert [labels[0] for labels in found(metrics, "orchestrator_build_info")] == ["1.2.3"]


def test_newer_tally_replaces_the_older() -> None:
    metrics = MetricsRecorder("1")
    assert found(metrics, "orchestrator_held_jobs", MetricsSnapshot(problem_groups=[cause("x", 1, held=True)])) == {
        ("x",): 1
    }
    assert found(metrics, "orchestrator_held_jobs", MetricsSnapshot()) == {}


def test_retries_and_transitions_are_told_apart() -> None:
    metrics = MetricsRecorder("1")
    started = advance(a_job(), JobEvent.UPLOAD_STARTED, now=NOW)
    again = retry_later(started.job, NEVER, until=NOW + 1, counts_as_attempt=True, maybe_sent=True)
    aside = sleep_until(again.job, None, failure=NEVER)
    held = hold_job(again.job, Hold(NEVER.kind, NEVER.message, NEVER.hint, until=NOW + 60))
    for outcome in (started, again, aside, held, poll_again(again.job, NOW)):
        metrics.outcome_recorded(outcome)
    assert found(metrics, "orchestrator_transitions_total") == {("openai", "uploading"): 1}
    assert found(metrics, "orchestrator_retries_total") == {("openai", "quota_exhausted"): 1}


def test_lags_are_never_negative() -> None:
    metrics = MetricsRecorder("1")
    metrics.job_woken(a_job(wake_at=NOW - 3), NOW)
    metrics.job_woken(a_job(wake_at=NOW + 3), NOW)
    metrics.job_woken(a_job(), NOW)
    metrics.tick_delayed(0.25)
    assert found(metrics, "orchestrator_wake_up_lag_seconds_count") == {(): 2}
    assert found(metrics, "orchestrator_wake_up_lag_seconds_sum") == {(): 3}
    assert found(metrics, "orchestrator_tick_lag_seconds_sum") == {(): 0.25}


class Slow:
    """Half a second each time; refuses at the third."""

    capabilities = "all"

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0

    async def get_job(self, remote_job_id: str) -> str:
        self.now += 0.5
        self.calls += 1
        if self.calls == 3:
            raise RateLimited("slow down")
        if self.calls == 4:
            raise RuntimeError("a bug")
        return remote_job_id


async def test_every_call_is_counted_with_its_outcome_and_its_time() -> None:
    metrics, slow = MetricsRecorder("1"), Slow()
    provider: Any = instrument_provider(slow, ProviderName.AZURE, metrics, lambda: slow.now)  # type: ignore[arg-type]
    assert provider.capabilities == "all"
    assert [await provider.get_job("x"), await provider.get_job(remote_job_id="y")] == ["x", "y"]
    with pytest.raises(RateLimited):
        await provider.get_job("x")
    with pytest.raises(RuntimeError):
        await provider.get_job("x")
    assert found(metrics, "orchestrator_provider_calls_total") == {
        ("azure", "get_job", "ok"): 2,
        ("azure", "get_job", "rate_limited"): 1,
        ("azure", "get_job", "internal_error"): 1,
    }
    assert found(metrics, "orchestrator_provider_call_seconds_sum") == {("azure", "get_job"): 2}
    with pytest.raises(AttributeError):
        provider.moderate  # noqa: B018 - not every provider has it


def test_unwatched_provider_is_not_wrapped() -> None:
    provider: Provider = Slow()  # type: ignore[assignment]
    assert instrument_provider(provider, ProviderName.OPENAI, ServiceObserver(), lambda: 0.0) is not provider
    from orchestrator.core.jobs.observer import NULL_OBSERVER

    assert instrument_provider(provider, ProviderName.OPENAI, NULL_OBSERVER, lambda: 0.0) is provider


@pytest.mark.parametrize("metric", ALL_METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: MetricDefinition) -> None:
    assert re.fullmatch(r"orchestrator_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert set(metric.labels) <= {"provider", "state", "kind", "operation", "outcome", "verdict", "version", "python"}
    assert metric.help.endswith(".")


def test_metrics_table_is_complete() -> None:
    metrics = MetricsRecorder("1")
    metrics.call_finished(ProviderName.OPENAI, "get_job", "ok", 0.1)
    metrics.outcome_recorded(advance(a_job(), JobEvent.UPLOAD_STARTED, now=NOW))
    metrics.outcome_recorded(retry_later(a_job(), NEVER, until=NOW, counts_as_attempt=True, maybe_sent=True))
    text = metrics.render(MetricsSnapshot()).decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    ours = {name: family for name, family in families.items() if name.startswith("orchestrator_")}
    assert {name: (family.type, family.documentation) for name, family in ours.items()} == {
        metric.name.removesuffix("_total"): (metric.kind, metric.help) for metric in ALL_METRICS
    }
    assert {name.partition("_")[0] for name in families} == {"orchestrator", "process"}
    assert "_created" not in text


def test_metrics_page_matches_the_code() -> None:
    written = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    page = runpy.run_path(str(ROOT / "docs" / "generate_metrics.py"))["page"]
    assert written == page(), "docs/reference/metrics.md has drifted; run: python docs/generate_metrics.py"
