"""What a metric is called in what is scraped."""

from __future__ import annotations

from orchestrator.metrics import MetricDefinition


def every_name(metric: MetricDefinition) -> set[str]:
    if metric.kind == "histogram":
        return {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}
    return {metric.name}
