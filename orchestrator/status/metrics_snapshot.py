"""The numbers behind the gauges of `/metrics`, counted by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from orchestrator.core.deployment.cost import calculate_cost_so_far
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_spec import SECONDS_PER_HOUR
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.run import Run
from orchestrator.core.notifications.comparison_notifications import count_verdicts
from orchestrator.core.structs import Struct, field, replace
from orchestrator.status.deployments import calculate_usd_per_hour
from orchestrator.status.run_overview import ProblemGroup, StateCount
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, replicas, runs, stats
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.comparisons.comparison_records import ComparisonTotals
from orchestrator.store.queries.deployments import deployment_search

MAX_PROBLEM_GROUPS = 1000  # error kinds and hints are few; the limit only bounds the query


class MetricsSnapshot(Struct, frozen=True, kw_only=True):
    """Numbers of all current runs, and of all due jobs."""

    state_counts: Sequence[StateCount] = ()
    problem_groups: Sequence[ProblemGroup] = ()
    run_holds: Sequence[str] = ()
    """Kinds of the holds on the runs."""
    planned_tokens: Mapping[str, int] = field(default_factory=dict)
    """By provider."""
    trained_tokens: Mapping[str, int] = field(default_factory=dict)
    """By provider."""
    first_retirement_dates: Mapping[str, date] = field(default_factory=dict)
    """Last day of the first model to be retired, by provider."""
    deployments: Sequence[DeploymentUsage] = ()
    """Those that may exist at a provider."""
    comparisons: ComparisonTotals = field(default_factory=ComparisonTotals)
    """All comparisons."""
    compared_models: Mapping[str, int] = field(default_factory=dict)
    """Models of the current runs by their latest verdict."""
    due: int = 0
    """Due jobs of any run."""
    oldest_due: float = 0.0
    """Seconds since the oldest due job became due."""
    replicas: int = 0
    """Live replicas."""


class DeploymentUsage(Struct, frozen=True, kw_only=True):
    """What one deployment uses and costs until now. None: unknown."""

    provider: str
    state: str
    hours: float
    usd_per_hour: float | None
    usd: float | None


def _measure_deployment(deployment: Deployment, now: float) -> DeploymentUsage:
    return DeploymentUsage(
        provider=deployment.provider.value,
        state=deployment.state.value,
        hours=max(now - (deployment.create_started_at or now), 0.0) / SECONDS_PER_HOUR,
        usd_per_hour=calculate_usd_per_hour(deployment),
        usd=calculate_cost_so_far(deployment, now),
    )


async def get_metrics_snapshot(database: Database, now: float) -> MetricsSnapshot:
    """Read the numbers as they are now."""
    async with database.read_long() as connection:
        due, since = await stats.count_due(connection, now)
        live = len(await replicas.list_live(connection, now))
        billed = await deployment_search.list_billed(connection)
        snapshot = MetricsSnapshot(
            due=due,
            oldest_due=0.0 if since is None else now - since,
            replicas=live,
            deployments=tuple(_measure_deployment(each, now) for each in billed),
            comparisons=await comparison_records.sum_costs(connection),
        )
        for run in await runs.list_current(connection):
            snapshot = _add_numbers(snapshot, await _load_numbers(connection, run, now))
    return snapshot


async def _load_numbers(connection: StoreConnection, run: Run, now: float) -> MetricsSnapshot:
    """Load the numbers of one run."""
    state_counts = await job_search.get_state_counts(connection, run, JobFilter(), now)
    dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
    compared = await comparison_records.find_latest_finished(connection, run.id)
    return MetricsSnapshot(
        state_counts=state_counts,
        problem_groups=await job_search.list_problem_groups(
            connection, run, JobFilter(), now, limit=MAX_PROBLEM_GROUPS
        ),
        run_holds=[hold.kind for hold in run.holds if hold.is_active(now)],
        planned_tokens=_planned_tokens(run, state_counts, dataset.tokens),
        trained_tokens=await stats.count_trained_tokens(connection, run.id),
        compared_models=count_verdicts(compared) if compared else {},
        first_retirement_dates=await stats.get_first_retirement_dates(connection, run.id),
    )


def _add_numbers(snapshot: MetricsSnapshot, numbers: MetricsSnapshot) -> MetricsSnapshot:
    """Add the numbers of one more run. Lists are joined, because the gauges sum them."""
    days = dict(snapshot.first_retirement_dates)
    for provider, day in numbers.first_retirement_dates.items():
        days[provider] = min(day, days.get(provider, day))
    return replace(
        snapshot,
        state_counts=[*snapshot.state_counts, *numbers.state_counts],
        problem_groups=[*snapshot.problem_groups, *numbers.problem_groups],
        run_holds=[*snapshot.run_holds, *numbers.run_holds],
        planned_tokens=_add_counts(snapshot.planned_tokens, numbers.planned_tokens),
        trained_tokens=_add_counts(snapshot.trained_tokens, numbers.trained_tokens),
        compared_models=_add_counts(snapshot.compared_models, numbers.compared_models),
        first_retirement_dates=days,
    )


def _add_counts(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Add counts by name; a count of 0 stays, so that its series does not end."""
    return {name: first.get(name, 0) + second.get(name, 0) for name in (*first, *second)}


def _planned_tokens(run: Run, state_counts: Sequence[StateCount], tokens: int | None) -> dict[str, int]:
    """Count tokens where the dataset's tokens are known and the provider does not select the epochs."""
    counts: Counter[str] = Counter()
    for state_count in state_counts:
        counts[state_count.provider] += state_count.count
    epochs = {name.value: spec.n_epochs for name, spec in run.specs.items()}
    return {
        name: tokens * each * count
        for name, count in counts.items()
        if tokens is not None and isinstance(each := epochs.get(name), int)
    }
