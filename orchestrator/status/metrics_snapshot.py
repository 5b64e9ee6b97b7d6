"""Tally: how things stand in numbers alone, counted by the database, for those who draw them over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.run import Run
from orchestrator.status.run_overview import ProblemGroup, StateCount
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, replicas, runs, stats

MAX_PROBLEM_GROUPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """Of the current run, if there is one, and of what is due whatever its run. Tokens are by provider.

    `run_holds` are kinds; `last_days` is the last day of the first model to go, by provider; `oldest_due` is how long
    the longest waiting job has waited, in seconds.
    """

    state_counts: Sequence[StateCount] = ()
    problem_groups: Sequence[ProblemGroup] = ()
    run_holds: Sequence[str] = ()
    planned_tokens: Mapping[str, int] = field(default_factory=dict)
    trained_tokens: Mapping[str, int] = field(default_factory=dict)
    first_retirement_dates: Mapping[str, date] = field(default_factory=dict)
    due: int = 0
    oldest_due: float = 0.0
    replicas: int = 0


async def get_metrics_snapshot(database: Database, now: float) -> MetricsSnapshot:
    """As it is now."""
    async with database.read_long() as connection:
        due, since = await stats.count_due(connection, now)
        alive = len(await replicas.list_live(connection, now))
        whole = MetricsSnapshot(due=due, oldest_due=0.0 if since is None else now - since, replicas=alive)
        run = await runs.find_current(connection)
        if run is None:
            return whole
        shares = await job_search.get_state_counts(connection, run, JobFilter(), now)
        causes = await job_search.list_problem_groups(connection, run, JobFilter(), now, limit=MAX_PROBLEM_GROUPS)
        trained = await stats.count_trained_tokens(connection, run.id)
        last_days = await stats.get_first_retirement_dates(connection, run.id)
        dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
    return replace(
        whole,
        state_counts=shares,
        problem_groups=causes,
        run_holds=[hold.kind for hold in run.holds if hold.is_active(now)],
        planned_tokens=_planned_tokens(run, shares, dataset.tokens),
        trained_tokens=trained,
        first_retirement_dates=last_days,
    )


def _planned_tokens(run: Run, state_counts: Sequence[StateCount], tokens: int | None) -> dict[str, int]:
    """Where the dataset's tokens are known, and the epochs are not the provider's choice."""
    counts: Counter[str] = Counter()
    for share in state_counts:
        counts[share.provider] += share.count
    epochs = {name.value: spec.n_epochs for name, spec in run.specs.items()}
    return {
        name: tokens * each * count
        for name, count in counts.items()
        if tokens is not None and isinstance(each := epochs.get(name), int)
    }
