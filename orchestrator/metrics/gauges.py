"""Gauges: how things stand, made anew of the read model at each scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from orchestrator.core.lifecycle import State
from orchestrator.metrics import table
from orchestrator.metrics.table import Metric
from orchestrator.status import HELD, Cause, Tally

Values = Mapping[Any, float]  # by the tuple of the labels' values


class Gauges:
    """Answers the registry with the newest tally."""

    def __init__(self, version: str, python: str) -> None:
        self.tally = Tally()
        self._build = {(version, python): 1.0}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge, those without a value too."""
        tally = self.tally
        held = [cause for cause in tally.causes if cause.held]
        failed = [cause for cause in tally.causes if not cause.held]
        yield _family(table.JOBS, _jobs(tally))
        yield _family(table.HELD_JOBS, _by_kind(held))
        yield _family(table.FAILED_JOBS, _by_kind(failed))
        yield _family(table.RUN_HELD, {(kind,): 1.0 for kind in tally.run_holds})
        yield _family(table.DUE_JOBS, {(): tally.due})
        yield _family(table.OLDEST_DUE, {(): tally.oldest_due})
        yield _family(table.PLANNED_USD, _sums((share.provider, share.usd) for share in tally.shares))
        yield _family(table.SUBMITTED_USD, _sums((share.provider, share.submitted_usd) for share in tally.shares))
        yield _family(table.UNPRICED_JOBS, _sums((share.provider, share.unknown) for share in tally.shares))
        yield _family(table.PLANNED_TOKENS, _sums(tally.planned_tokens.items()))
        yield _family(table.TRAINED_TOKENS, _sums(tally.trained_tokens.items()))
        yield _family(table.RETIREMENT, {(name,): _end_of(day) for name, day in tally.last_days.items()})
        yield _family(table.REPLICAS, {(): tally.replicas})
        yield _family(table.BUILD, self._build)


def _jobs(tally: Tally) -> Values:
    """Every state of every provider in use: one that has emptied is 0, not gone."""
    counts = {(share.provider, share.state): float(share.count) for share in tally.shares}
    providers = sorted({provider for provider, _ in counts})
    return {(name, state): counts.get((name, state), 0.0) for name in providers for state in (*State, HELD)}


def _by_kind(causes: Iterable[Cause]) -> Values:
    return _sums((cause.error.kind, cause.count) for cause in causes)


def _sums(pairs: Iterable[tuple[str, float]]) -> Values:
    sums: dict[tuple[str, ...], float] = {}
    for label, value in pairs:
        sums[label,] = sums.get((label,), 0.0) + value
    return sums


def _end_of(day: date) -> float:
    return datetime.combine(day + timedelta(days=1), time(), UTC).timestamp()


def _family(metric: Metric, values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
