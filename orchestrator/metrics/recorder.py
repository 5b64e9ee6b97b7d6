"""Counters and histograms of this process, and the `/metrics` page."""

from __future__ import annotations

import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.observer import ServiceObserver
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.metrics import definitions
from orchestrator.metrics.definitions import MetricDefinition
from orchestrator.metrics.gauges import GaugeCollector
from orchestrator.status import MetricsSnapshot


class MetricsRecorder(ServiceObserver):
    """Counts the events of one process."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each was first counted; a second line for each number
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauges = GaugeCollector(version, platform.python_version())
        self.registry.register(self._gauges)
        self._calls = self._counter(definitions.CALLS)
        self._call_time = self._histogram(definitions.CALL_TIME)
        self._retries = self._counter(definitions.RETRIES)
        self._transitions = self._counter(definitions.TRANSITIONS)
        self._wake_up_lag = self._histogram(definitions.WAKE_UP_LAG)
        self._tick_lag = self._histogram(definitions.TICK_LAG)

    def render(self, snapshot: MetricsSnapshot) -> bytes:
        """Render all metrics in Prometheus' text format."""
        self._gauges.snapshot = snapshot
        return generate_latest(self.registry)

    def call_finished(self, provider: ProviderName, operation: str, outcome: str, seconds: float) -> None:
        self._calls.labels(provider.value, operation, outcome).inc()
        self._call_time.labels(provider.value, operation).observe(seconds)

    def outcome_recorded(self, outcome: Outcome) -> None:
        job = outcome.job
        if job.state is not outcome.previous_state:
            self._transitions.labels(job.provider.value, job.state.value).inc()
        elif outcome.failure and job.wake_at is not None and job.hold is None:
            self._retries.labels(job.provider.value, outcome.failure.kind).inc()

    def job_woken(self, job: Job, now: float) -> None:
        if job.wake_at is not None:
            self._wake_up_lag.observe(max(now - job.wake_at, 0.0))

    def tick_delayed(self, delay_seconds: float) -> None:
        self._tick_lag.observe(delay_seconds)

    def _counter(self, metric: MetricDefinition) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: MetricDefinition) -> Histogram:
        return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets)
