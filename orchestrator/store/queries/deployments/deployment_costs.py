"""Queries about what deployments cost: each counts from its create to its end or expiry (core/deployment/cost.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import select

from orchestrator.core.deployment.cost import calculate_committed_usd
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.jobs.job import RunId
from orchestrator.core.plans.budget import CommittedSpend
from orchestrator.core.structs import Struct
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.mapping import DEPLOYMENT_COLUMNS, deployment_from_row
from orchestrator.store.schema.tables import deployments, jobs


class StartedDeployment(Struct, frozen=True):
    """A deployment that was created, or may have been, and the run of its job."""

    deployment: Deployment
    run_id: RunId | None  # None: its job is not known here

    @property
    def usd(self) -> float | None:
        """What it can cost; None: its price is unknown."""
        return calculate_committed_usd(self.deployment)

    @property
    def is_unpriced(self) -> bool:
        """Whether its price is unknown and nobody accepted that."""
        return self.usd is None and self.deployment.approved_at is None

    def to_committed(self, run_id: RunId | None, since: float) -> CommittedSpend:
        """Return what it commits in the month of its create; an unknown price counts as 0, as that of a job."""
        usd, is_recent = self.usd or 0.0, (self.deployment.create_started_at or 0.0) >= since
        return CommittedSpend(usd, usd if is_recent else 0.0, usd if self.run_id == run_id else 0.0)


async def list_started(
    connection: StoreConnection, *, accounts: Collection[str] | None = None, run_id: RunId | None = None
) -> list[StartedDeployment]:
    """Return the deployments that cost or have cost something, of all accounts or of these, of all runs or of one."""
    query = (
        select(*DEPLOYMENT_COLUMNS, jobs.c.run_id)
        .outerjoin(jobs, jobs.c.id == deployments.c.job_id)
        .where(deployments.c.create_started_at.is_not(None))
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
