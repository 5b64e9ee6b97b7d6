"""Queries about what deployments cost: each round counts from its create to its end (core/deployment/cost.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import or_, select

from orchestrator.core.deployment.cost import calculate_committed_usd, get_earlier_usd_since
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.jobs.job import RunId
from orchestrator.core.plans.budget import CommittedSpend
from orchestrator.core.structs import Struct
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.mapping import DEPLOYMENT_COLUMNS, deployment_from_row
from orchestrator.store.schema.tables import deployments, jobs


class StartedDeployment(Struct, frozen=True):
    """A deployment that was created in any round, or may have been, and the run of its job."""

    deployment: Deployment
    run_id: RunId | None  # None: its job is not known here

    @property
    def usd(self) -> float | None:
        """What its latest round can cost; None: its price is unknown."""
        return calculate_committed_usd(self.deployment)

    @property
    def is_unpriced(self) -> bool:
        """Whether its price is unknown and nobody accepted that."""
        return self.usd is None and self.deployment.approved_at is None

    @property
    def committed_usd(self) -> float:
        """What all its rounds can cost; an unknown price counts as 0, as that of a job."""
        return (self.deployment.earlier_usd or 0.0) + (self.usd or 0.0)

    def to_committed(self, run_id: RunId | None, since: float) -> CommittedSpend:
        """Return what it commits, each round in the month of its create; `since` is the start of this month."""
        total, month = self.committed_usd, get_earlier_usd_since(self.deployment, since)
        if (self.deployment.create_started_at or 0.0) >= since:
            month += self.usd or 0.0
        return CommittedSpend(total, month, total if self.run_id == run_id else 0.0)


async def list_started(
    connection: StoreConnection, *, accounts: Collection[str] | None = None, run_id: RunId | None = None
) -> list[StartedDeployment]:
    """Return the deployments that cost or have cost something, of all accounts or of these, of all runs or of one."""
    query = (
        select(*DEPLOYMENT_COLUMNS, jobs.c.run_id)
        .outerjoin(jobs, jobs.c.id == deployments.c.job_id)
        .where(or_(deployments.c.create_started_at.is_not(None), deployments.c.earlier_usd.is_not(None)))
    )
    if accounts is not None:
        query = query.where(any_of(deployments.c.account, "names"))
    if run_id is not None:
        query = query.where(jobs.c.run_id == run_id)
    rows = await connection.execute(query, None if accounts is None else {"names": list(accounts)})
    return [StartedDeployment(deployment_from_row(row[:-1]), row[-1] and RunId(row[-1])) for row in rows]


def sum_committed(
    started: Iterable[StartedDeployment], run_id: RunId | None, since: float
) -> dict[str, CommittedSpend]:
    """Sum the costs by account."""
    result: dict[str, CommittedSpend] = {}
    for each in started:
        account = each.deployment.account
        result[account] = result.get(account, CommittedSpend()).add(each.to_committed(run_id, since))
    return result
