"""Table: every metric. docs/reference/metrics.md is generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

CALL_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LAG_BUCKETS_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A counter and a histogram are of this process since its start; a gauge is of the whole deployment, now."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_jobs", "Jobs of the current run, by state, or held.", ("provider", "state")
)
HELD_JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_held_jobs", "Jobs of the current run that are set aside by themselves.", ("kind",)
)
FAILED_JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_failed_jobs", "Failed jobs of the current run.", ("kind",)
)
RUN_HELD: Final = MetricDefinition(
    "gauge", "orchestrator_run_held", "1 for each reason that holds the current run.", ("kind",)
)
DUE_JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_due_jobs", "Jobs whose time has come, those under way included."
)
OLDEST_DUE: Final = MetricDefinition(
    "gauge", "orchestrator_oldest_due_seconds", "How long the longest waiting of the due jobs has waited."
)
PLANNED_USD: Final = MetricDefinition(
    "gauge", "orchestrator_planned_usd", "Estimated price of the current run, as far as it is known.", ("provider",)
)
SUBMITTED_USD: Final = MetricDefinition(
    "gauge", "orchestrator_submitted_usd", "Estimated price of the jobs that providers have.", ("provider",)
)
UNPRICED_JOBS: Final = MetricDefinition(
    "gauge", "orchestrator_unpriced_jobs", "Submitted jobs of which no price is known.", ("provider",)
)
PLANNED_TOKENS: Final = MetricDefinition(
    "gauge", "orchestrator_planned_tokens", "Tokens that the current run trains, all epochs and jobs.", ("provider",)
)
TRAINED_TOKENS: Final = MetricDefinition(
    "gauge", "orchestrator_trained_tokens", "Tokens that the providers say they trained.", ("provider",)
)
RETIREMENT: Final = MetricDefinition(
    "gauge",
    "orchestrator_retirement_timestamp_seconds",
    "When the first of the models goes: the end of its last day. `(… - time()) / 86400` are the days to it.",
    ("provider",),
)
REPLICAS: Final = MetricDefinition("gauge", "orchestrator_replicas", "Processes that are alive and do the work.")
BUILD: Final = MetricDefinition(
    "gauge", "orchestrator_build_info", "Always 1; which program this is.", ("version", "python")
)
CALLS: Final = MetricDefinition(
    "counter",
    "orchestrator_provider_calls_total",
    'Calls to providers that have ended; the outcome is "ok" or the kind of the error.',
    ("provider", "operation", "outcome"),
)
CALL_TIME: Final = MetricDefinition(
    "histogram",
    "orchestrator_provider_call_seconds",
    "How long calls to providers take.",
    ("provider", "operation"),
    CALL_BUCKETS_SECONDS,
)
RETRIES: Final = MetricDefinition(
    "counter", "orchestrator_retries_total", "Failed steps that are tried again later.", ("provider", "kind")
)
TRANSITIONS: Final = MetricDefinition(
    "counter", "orchestrator_transitions_total", "Jobs that came into a state.", ("provider", "state")
)
WAKE_UP_LAG: Final = MetricDefinition(
    "histogram",
    "orchestrator_wake_up_lag_seconds",
    "How long after its time a job is looked at.",
    buckets=LAG_BUCKETS_SECONDS,
)
TICK_LAG: Final = MetricDefinition(
    "histogram",
    "orchestrator_tick_lag_seconds",
    "How late the ticks of every second are.",
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
    REPLICAS,
    BUILD,
    CALLS,
    CALL_TIME,
    RETRIES,
    TRANSITIONS,
    WAKE_UP_LAG,
    TICK_LAG,
)
