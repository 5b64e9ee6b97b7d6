"""Definitions of all metrics. docs/reference/metrics.md is generated from them."""

from __future__ import annotations

from typing import Final, Literal

from orchestrator.core.structs import Struct

CALL_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LAG_BUCKETS_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class MetricDefinition(Struct, frozen=True):
    """One metric. Counters and histograms start at 0 with each process; gauges describe the whole deployment now."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    """The HELP text of the scrape, and the description in the documentation."""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, in seconds."""


JOBS: Final = MetricDefinition(
    "gauge",
    "orchestrator_jobs",
    "Jobs of the current runs by state; jobs on hold have the state `held`.",
    ("provider", "state"),
)
HELD_JOBS: Final = MetricDefinition(
    "gauge",
    "orchestrator_held_jobs",
    "Jobs of the current runs that are on hold, either themselves or because their account is.",
    ("kind",),
)
FAILED_JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_failed_jobs", "Failed jobs of the current runs by error kind.", ("kind",)
)
RUN_HELD: Final = MetricDefinition(
    "gauge", "orchestrator_run_held", "1 for each kind of hold on the current runs.", ("kind",)
)
DUE_JOBS: Final = MetricDefinition("gauge", "orchestrator_due_jobs", "Jobs due or in progress.")
OLDEST_DUE: Final = MetricDefinition(
    "gauge", "orchestrator_oldest_due_seconds", "Age of the oldest due job, in seconds."
)
PLANNED_USD: Final = MetricDefinition(
    "gauge",
    "orchestrator_planned_usd",
    "Estimated price of the current runs in USD; unknown prices count as 0.",
    ("provider",),
)
SUBMITTED_USD: Final = MetricDefinition(
    "gauge", "orchestrator_submitted_usd", "Estimated price of the submitted jobs, in USD.", ("provider",)
)
UNPRICED_JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_unpriced_jobs", "Submitted jobs without a known price.", ("provider",)
)
PLANNED_TOKENS: Final = MetricDefinition(
    "gauge",
    "orchestrator_planned_tokens",
    "Tokens to be trained by the current runs, for all jobs and epochs.",
    ("provider",),
)
TRAINED_TOKENS: Final = MetricDefinition(
    "gauge", "orchestrator_trained_tokens", "Trained tokens reported by the providers.", ("provider",)
)
RETIREMENT: Final = MetricDefinition(
    "gauge",
    "orchestrator_retirement_timestamp_seconds",
    "Earliest retirement time of any fine-tuned model (end of its last day), in epoch seconds.",
    ("provider",),
)
DEPLOYMENTS: Final = MetricDefinition(
    "gauge",
    "orchestrator_deployments",
    "Deployments that may exist at a provider, and so may be billed, by state.",
    ("provider", "state"),
)
DEPLOYMENT_HOURS: Final = MetricDefinition(
    "gauge",
    "orchestrator_deployment_hours",
    "Hours since the create of these deployments, summed.",
    ("provider",),
)
DEPLOYMENT_USD_PER_HOUR: Final = MetricDefinition(
    "gauge",
    "orchestrator_deployment_usd_per_hour",
    "Price per hour of these deployments in USD; unknown prices count as 0.",
    ("provider",),
)
DEPLOYMENT_USD: Final = MetricDefinition(
    "gauge",
    "orchestrator_deployment_usd",
    "Highest possible cost of these deployments until now, without their calls, in USD.",
    ("provider",),
)
UNPRICED_DEPLOYMENTS: Final = MetricDefinition(
    "gauge", "orchestrator_unpriced_deployments", "Deployments without a known price.", ("provider",)
)
COMPARISONS: Final = MetricDefinition(
    "gauge",
    "orchestrator_comparisons",
    "Comparisons of models by state: asking, finished or stopped.",
    ("state",),
)
COMPARED_MODELS: Final = MetricDefinition(
    "gauge",
    "orchestrator_compared_models",
    "Models by their verdict in the latest finished comparison of each current run.",
    ("verdict",),
)
COMPARISON_REQUESTS: Final = MetricDefinition(
    "gauge", "orchestrator_comparison_requests", "Requests that all comparisons have sent to models."
)
COMPARISON_USD: Final = MetricDefinition(
    "gauge",
    "orchestrator_comparison_usd",
    "What all comparisons have cost, with the deployments that they started, in USD; unknown prices count as 0.",
)
REPLICAS: Final = MetricDefinition("gauge", "orchestrator_replicas", "Service processes with a current heartbeat.")
BUILD: Final = MetricDefinition(
    "gauge", "orchestrator_build_info", "Build information (always 1).", ("version", "python")
)
CALLS: Final = MetricDefinition(
    "counter",
    "orchestrator_provider_calls_total",
    'Finished calls to providers; the outcome is "ok" or the error kind.',
    ("provider", "operation", "outcome"),
)
CALL_TIME: Final = MetricDefinition(
    "histogram",
    "orchestrator_provider_call_seconds",
    "Duration of calls to providers.",
    ("provider", "operation"),
    CALL_BUCKETS_SECONDS,
)
RETRIES: Final = MetricDefinition(
    "counter", "orchestrator_retries_total", "Failed steps that were scheduled for a retry.", ("provider", "kind")
)
TRANSITIONS: Final = MetricDefinition(
    "counter", "orchestrator_transitions_total", "Job state transitions, by new state.", ("provider", "state")
)
WAKE_UP_LAG: Final = MetricDefinition(
    "histogram",
    "orchestrator_wake_up_lag_seconds",
    "Delay between the due time of a job and its processing.",
    buckets=LAG_BUCKETS_SECONDS,
)
TICK_LAG: Final = MetricDefinition(
    "histogram",
    "orchestrator_tick_lag_seconds",
    "Delay of the scheduler's tick, in seconds; the tick is due every second.",
    buckets=LAG_BUCKETS_SECONDS,
)

ALL_METRICS: Final = (
    JOBS,
    HELD_JOBS,
    FAILED_JOBS,
    RUN_HELD,
    DUE_JOBS,
    OLDEST_DUE,
    PLANNED_USD,
    SUBMITTED_USD,
    UNPRICED_JOBS,
    PLANNED_TOKENS,
    TRAINED_TOKENS,
    RETIREMENT,
    DEPLOYMENTS,
    DEPLOYMENT_HOURS,
    DEPLOYMENT_USD_PER_HOUR,
    DEPLOYMENT_USD,
    UNPRICED_DEPLOYMENTS,
    COMPARISONS,
    COMPARED_MODELS,
    COMPARISON_REQUESTS,
    COMPARISON_USD,
    REPLICAS,
    BUILD,
    CALLS,
    CALL_TIME,
    RETRIES,
    TRANSITIONS,
    WAKE_UP_LAG,
    TICK_LAG,
)
