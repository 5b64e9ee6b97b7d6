"""Plans deployments that an operator requests: which models, in which way, at which price, and what prevents it.

Nothing is stored or sent, except the question for the prices. The command line, the API and the dashboard show the
plan, and `control.deployments.deploy` stores it after its price was confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from orchestrator.control.accounts import get_account_states
from orchestrator.control.runs import get_current_run
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentPrice, estimate_deployment_usd
from orchestrator.core.deployment.deployment import Deployment, DeploymentId, deployment_id
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.deployment.spec_choice import build_deployment_spec
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.checkpoint import BEST_CHECKPOINT, Checkpoint, find_checkpoint
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, field, replace
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries.deployments import checkpoints as checkpoint_queries
from orchestrator.store.queries.deployments import deployment_records

FindDeploymentPrice = Callable[[str, str, DeploymentSpec], Awaitable[DeploymentPrice | None]]
"""Returns the price of a spec by account and base model; None if the provider cannot serve the base model."""
GetDeploymentTables = Callable[[str], Mapping[ProviderName, DeploymentSpec]]
"""Returns the tables `[run.PROVIDER.deployment]` of the run with this name."""

NOT_SERVABLE: Final = "the provider does not offer a deployment of this kind for its base model"


class DeploymentSelection(Struct, frozen=True, kw_only=True):
    """The models to deploy, and the options for all of them.

    An empty selection selects nothing; None selects all.
    """

    accounts: Collection[str] | None = ()
    """Account names; None: all accounts of the run whose model needs a deployment."""
    run: str | None = None
    """Name or id of a current run; None: the only current run."""
    checkpoint: str | None = None
    """A checkpoint, deployed in place of each final model: a number, "best", or the id of the only account's."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of DeploymentSpec; what is missing comes from the run's table."""
    usd_per_hour: float | None = None
    """The price of one replica, if the operator knows it and the provider does not report it."""


class PlannedDeployment(Struct, frozen=True, kw_only=True):
    """One model with the way in which it would be deployed, or the reason why it is not."""

    job: Job
    id: DeploymentId
    model: str
    """The provider's id of the model, or of the checkpoint; empty while there is none."""
    checkpoint: str | None = None
    spec: DeploymentSpec | None = None
    price: DeploymentPrice | None = None
    existing: Deployment | None = None
    """The record of an earlier deployment of the same model."""
    obstacle: str = ""
    """Why it is not deployed; empty if it is."""

    @property
    def usd_per_hour(self) -> float | None:
        """The price per hour of all replicas; None: unknown."""
        if self.spec is None or self.price is None or self.price.usd_per_hour is None:
            return None
        return self.price.usd_per_hour * self.spec.billed_replicas

    @property
    def usd(self) -> float | None:
        """What it costs until it expires, without its calls; None: unknown."""
        if self.spec is None or self.price is None:
            return None
        return estimate_deployment_usd(self.spec, self.price.usd_per_hour)


class DeploymentPlan(Struct, frozen=True, kw_only=True):
    """All selected models, sorted by account."""

    run: Run
    lines: tuple[PlannedDeployment, ...]

    @property
    def accepted(self) -> tuple[PlannedDeployment, ...]:
        """Those that are deployed."""
        return tuple(line for line in self.lines if not line.obstacle)

    @property
    def total_usd(self) -> float:
        """The sum of the known prices, rounded to cents: people confirm it by typing it."""
        return round(sum(line.usd or 0.0 for line in self.accepted), 2)

    @property
    def unpriced(self) -> int:
        """The number of deployments whose price is unknown. They are held until they are approved."""
        return sum(line.usd is None for line in self.accepted)


async def plan_deployments(
    database: Database,
    selection: DeploymentSelection,
    *,
    get_tables: GetDeploymentTables,
    find_price: FindDeploymentPrice,
) -> DeploymentPlan:
    """Plan the deployments of the selected models. Raises ConfigError for unknown names and unusable options."""
    async with database.read() as connection:
        run = await get_current_run(connection, selection.run)
        jobs = await _list_selected_jobs(connection, run, selection.accounts)
        chosen = await _choose_checkpoints(connection, jobs, selection.checkpoint)
        identities = [deployment_id(job.id, job.round, _get_id(chosen[job.id])) for job in jobs]
        existing = await deployment_records.get_many(connection, identities)
    tables = get_tables(run.name)
    lines = [_plan_line(job, selection.checkpoint, chosen[job.id], existing) for job in jobs]
    if selection.accounts is None:  # "all" are those for which there is something to do
        lines = [line for line in lines if not line.obstacle]
    specs = {
        provider: build_deployment_spec(provider, selection.options, tables.get(provider))
        for provider in sorted({line.job.provider for line in lines if not line.obstacle})
    }
    lines = [line if line.obstacle else replace(line, spec=specs[line.job.provider]) for line in lines]
    priced = await asyncio.gather(*(_add_price(line, selection.usd_per_hour, find_price) for line in lines))
    return DeploymentPlan(run=run, lines=tuple(sorted(priced, key=lambda line: line.job.account)))


async def _list_selected_jobs(connection: StoreConnection, run: Run, accounts: Collection[str] | None) -> list[Job]:
    if accounts is not None:
        await get_account_states(connection, accounts)  # raises for unknown names
    jobs = await job_queries.list_by_run(connection, run.id)
    selected = [job for job in jobs if accounts is None or job.account in accounts]
    if missing := sorted(set(accounts or ()) - {job.account for job in selected}):
        raise ConfigError(
            f"run {run.name} has no job in {', '.join(missing)}",
            hint="Choose another run with --run NAME, or select the accounts in the accounts file.",
        )
    return selected


async def _choose_checkpoints(
    connection: StoreConnection, jobs: Collection[Job], choice: str | None
) -> dict[JobId, Checkpoint | None]:
    """Return the chosen checkpoint of each job; None where it has none, or none is chosen.

    An id that is not recorded is used as it is: the provider may have kept more checkpoints than it lists.
    """
    if choice is None:
        return {job.id: None for job in jobs}
    kept = await checkpoint_queries.list_by_jobs(connection, [job.id for job in jobs])
    chosen = {job.id: find_checkpoint(kept.get(job.id, ()), choice) for job in jobs}
    if choice == BEST_CHECKPOINT or choice.isdecimal():
        return chosen
    if len(jobs) != 1:
        raise ConfigError(
            f"the checkpoint {choice} belongs to one account",
            hint='Name the one account whose checkpoint it is, or choose a number or "best" for several accounts.',
        )
    return {each: found or Checkpoint(id=choice, step=0, model=choice) for each, found in chosen.items()}


def _get_id(checkpoint: Checkpoint | None) -> str | None:
    return checkpoint.id if checkpoint else None


def _plan_line(
    job: Job, choice: str | None, checkpoint: Checkpoint | None, existing: Mapping[DeploymentId, Deployment]
) -> PlannedDeployment:
    identity = deployment_id(job.id, job.round, _get_id(checkpoint))
    known = existing.get(identity)
    obstacle = _find_obstacle(job, known)
    if choice is not None and checkpoint is None:
        obstacle = obstacle or f"the checkpoint {choice} of its job is not known"
    return PlannedDeployment(
        job=job,
        id=identity,
        model=checkpoint.model if checkpoint else job.fine_tuned_model or "",
        checkpoint=_get_id(checkpoint),
        existing=known,
        obstacle=obstacle,
    )


def _find_obstacle(job: Job, existing: Deployment | None) -> str:
    """Return why the model cannot be deployed now; empty if it can."""
    if DEPLOYMENT_OFFERS[job.provider].ready_by_itself:
        return "its model is callable without a deployment"
    if job.state is not JobState.SUCCEEDED or job.fine_tuned_model is None:
        return f"it has no model yet: its job is {job.state}"
    if job.gone_at is not None:
        return "the provider no longer has its model"
    if existing is None or existing.state in TERMINAL_DEPLOYMENT_STATES:
        return ""
    if existing.stop_reason is not None:
        return "its deployment is being stopped; request it again when it has ended"
    if existing.comparison_id is not None:
        return "it is deployed for a comparison, which stops it; request it again when it has ended"
    return f"it is deployed already ({existing.state})"


async def _add_price(
    line: PlannedDeployment, usd_per_hour: float | None, find_price: FindDeploymentPrice
) -> PlannedDeployment:
    """Add the price that the provider reports, else the one that the operator states."""
    if line.obstacle or line.spec is None:
        return line
    price = await find_price(line.job.account, line.job.base_model, line.spec)
    if price is None:
        return replace(line, obstacle=NOT_SERVABLE)
    if price.usd_per_hour is None and usd_per_hour is not None:
        price = replace(price, usd_per_hour=usd_per_hour, source="stated by the operator")
    return replace(line, price=price)
