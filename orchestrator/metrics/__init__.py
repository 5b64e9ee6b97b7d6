"""Metrics for Prometheus.

Counters and histograms describe this process: `MetricsRecorder` is a `ServiceObserver` and counts events as they
happen. Gauges describe the deployment: they are read from the database at each scrape, so every replica reports the
same values. No metric has an account as a label, because a deployment may have ten thousand accounts.
"""

from orchestrator.metrics.definitions import ALL_METRICS, MetricDefinition
from orchestrator.metrics.recorder import MetricsRecorder

__all__ = ["ALL_METRICS", "MetricDefinition", "MetricsRecorder"]
