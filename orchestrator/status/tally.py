"""Tally: how things stand in numbers alone, counted by the database, for those who draw them over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from orchestrator.core.run import Run
from orchestrator.core.selection import Selection
from orchestrator.status.listing import Cause, Share
from orchestrator.store import replicas, runs, selected, tallies
from orchestrator.store.database import Database

MOST_CAUSES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of the current run, if there is one, and of what is due whatever its run. Tokens are by provider.

    `run_holds` are kinds; `last_days` is the last day of the first model to go, by provider; `oldest_due` is how long
    the longest waiting job has waited, in seconds.
    """

    shares: Sequence[Share] = ()
    causes: Sequence[Cause] = ()
    run_holds: Sequence[str] = ()
    planned_tokens: Mapping[str, int] = field(default_factory=dict)
    trained_tokens: Mapping[str, int] = field(default_factory=dict)
    last_days: Mapping[str, date] = field(default_factory=dict)
    due: int = 0
    oldest_due: float = 0.0
    replicas: int = 0


async def tally(database: Database, now: float) -> Tally:
    """As it is now."""
    async with database.survey() as connection:
        due, since = await tallies.due(connection, now)
        alive = len(await replicas.live(connection, now))
        whole = Tally(due=due, oldest_due=0.0 if since is None else now - since, replicas=alive)
        run = await runs.current(connection)
        if run is None:
            return whole
        shares = await selected.shares(connection, run, Selection(), now)
        causes = await selected.causes(connection, run, Selection(), now, limit=MOST_CAUSES)
        trained = await tallies.trained_tokens(connection, run.id)
        last_days = await tallies.last_days(connection, run.id)
        dataset = await runs.dataset_row(connection, run.dataset_sha256)
    return replace(
        whole,
        shares=shares,
        causes=causes,
        run_holds=[hold.kind for hold in run.holds if hold.holds(now)],
        planned_tokens=_planned(run, shares, dataset.tokens),
        trained_tokens=trained,
        last_days=last_days,
    )


def _planned(run: Run, shares: Sequence[Share], tokens: int | None) -> dict[str, int]:
    """Where the dataset's tokens are known, and the epochs are not the provider's choice."""
    counts: Counter[str] = Counter()
    for share in shares:
        counts[share.provider] += share.count
    epochs = {name.value: spec.n_epochs for name, spec in run.specs.items()}
    return {
        name: tokens * each * count
        for name, count in counts.items()
        if tokens is not None and isinstance(each := epochs.get(name), int)
    }
