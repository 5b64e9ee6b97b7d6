"""Gauges, built from the read model at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.metrics import definitions
from orchestrator.metrics.definitions import MetricDefinition
from orchestrator.status import HELD, MetricsSnapshot, ProblemGroup

ValuesByLabels = Mapping[Any, float]  # by the tuple of the labels' values


class GaugeCollector:
    """Reports the latest metrics snapshot to the Prometheus registry."""

    def __init__(self, version: str, python: str) -> None:
        self.snapshot = MetricsSnapshot()
        self._build = {(version, python): 1.0}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all gauges, including those without a value."""
        snapshot = self.snapshot
        held = [group for group in snapshot.problem_groups if group.held]
        failed = [group for group in snapshot.problem_groups if not group.held]
        yield _build_family(definitions.JOBS, _count_jobs(snapshot))
        yield _build_family(definitions.HELD_JOBS, _count_by_kind(held))
        yield _build_family(definitions.FAILED_JOBS, _count_by_kind(failed))
        yield _build_family(definitions.RUN_HELD, {(kind,): 1.0 for kind in snapshot.run_holds})
        yield _build_family(definitions.DUE_JOBS, {(): snapshot.due})
        yield _build_family(definitions.OLDEST_DUE, {(): snapshot.oldest_due})
        yield _build_family(
            definitions.PLANNED_USD,
            _sum_by_label((state_count.provider, state_count.usd) for state_count in snapshot.state_counts),
        )
        yield _build_family(
            definitions.SUBMITTED_USD,
            _sum_by_label((state_count.provider, state_count.submitted_usd) for state_count in snapshot.state_counts),
        )
        yield _build_family(
            definitions.UNPRICED_JOBS,
            _sum_by_label((state_count.provider, state_count.unknown) for state_count in snapshot.state_counts),
        )
        yield _build_family(definitions.PLANNED_TOKENS, _sum_by_label(snapshot.planned_tokens.items()))
        yield _build_family(definitions.TRAINED_TOKENS, _sum_by_label(snapshot.trained_tokens.items()))
        yield _build_family(
            definitions.RETIREMENT,
            {(name,): _end_of_day_timestamp(day) for name, day in snapshot.first_retirement_dates.items()},
        )
        yield from _build_deployment_families(snapshot)
        yield from _build_comparison_families(snapshot)
        yield _build_family(definitions.REPLICAS, {(): snapshot.replicas})
        yield _build_family(definitions.BUILD, self._build)


def _build_deployment_families(snapshot: MetricsSnapshot) -> Iterator[GaugeMetricFamily]:
    used = snapshot.deployments
    counts = Counter((each.provider, each.state) for each in used)
    providers = sorted({each.provider for each in used})
    states = {(name, state): float(counts[name, state]) for name in providers for state in sorted(MAY_EXIST_STATES)}
    sums: dict[MetricDefinition, Iterator[tuple[str, float]]] = {
        definitions.DEPLOYMENT_HOURS: ((each.provider, each.hours) for each in used),
        definitions.DEPLOYMENT_USD_PER_HOUR: ((each.provider, each.usd_per_hour or 0.0) for each in used),
        definitions.DEPLOYMENT_USD: ((each.provider, each.usd or 0.0) for each in used),
        definitions.UNPRICED_DEPLOYMENTS: ((each.provider, float(each.usd_per_hour is None)) for each in used),
    }
    yield _build_family(definitions.DEPLOYMENTS, states)
    for definition, values in sums.items():
        yield _build_family(definition, _sum_by_label(values))


def _build_comparison_families(snapshot: MetricsSnapshot) -> Iterator[GaugeMetricFamily]:
    totals = snapshot.comparisons
    states = {(state.value,): float(totals.counts.get(state, 0)) for state in ComparisonState}
    verdicts = {(name,): float(count) for name, count in snapshot.compared_models.items()}
    yield _build_family(definitions.COMPARISONS, states)
    yield _build_family(definitions.COMPARED_MODELS, verdicts)
    yield _build_family(definitions.COMPARISON_REQUESTS, {(): totals.requests})
    yield _build_family(definitions.COMPARISON_USD, {(): totals.usd})


def _count_jobs(snapshot: MetricsSnapshot) -> ValuesByLabels:
    """Count jobs by provider and state. States without jobs are 0, so that their series do not end."""
    counts: Counter[tuple[str, str]] = Counter()
    for state_count in snapshot.state_counts:  # each current run has its own counts
        counts[state_count.provider, state_count.state] += state_count.count
    providers = sorted({provider for provider, _ in counts})
    return {(name, state): float(counts[name, state]) for name in providers for state in (*JobState, HELD)}


def _count_by_kind(problem_groups: Iterable[ProblemGroup]) -> ValuesByLabels:
    return _sum_by_label((group.error.kind, group.count) for group in problem_groups)


def _sum_by_label(pairs: Iterable[tuple[str, float]]) -> ValuesByLabels:
    sums: dict[tuple[str, ...], float] = {}
    for label, value in pairs:
        sums[label,] = sums.get((label,), 0.0) + value
    return sums


def _end_of_day_timestamp(day: date) -> float:
    return datetime.combine(day + timedelta(days=1), time(), UTC).timestamp()


def _build_family(metric: MetricDefinition, values: ValuesByLabels) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
