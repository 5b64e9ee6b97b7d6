"""Metrics: what Prometheus scrapes. Two sorts, told apart in `table`.

What this process does is counted as it happens: it is a `ServiceObserver`. How things stand is asked of the read
model at each scrape, so every replica says the same of it. No account is a label: a deployment may have ten thousand.
"""

from orchestrator.metrics.definitions import ALL_METRICS, MetricDefinition
from orchestrator.metrics.recorder import MetricsRecorder

__all__ = ["ALL_METRICS", "MetricDefinition", "MetricsRecorder"]
