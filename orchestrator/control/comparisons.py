"""Operator actions on comparisons: request one, stop one. The service then asks the models."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.control.deployment_plan import DeploymentPlan
from orchestrator.control.deployments import request_deployments
from orchestrator.core.comparison.comparison import Comparison, ComparisonState, ModelToAsk
from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.deployment.transitions import request_stop
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.structs import Struct, replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.deployments import deployment_records


class LeftOutModel(Struct, frozen=True, kw_only=True):
    """A model of the run that is not compared."""

    account: str
    reason: str


class PlannedComparison(Struct, frozen=True, kw_only=True):
    """A comparison that can be requested, with what it would cost at most. Nothing is stored yet."""

    comparison: Comparison
    run_name: str
    requests: int
    usd: float | None
    """Highest possible price; None: unknown."""
    """The price of the calls and of the deployments that the comparison starts."""
    left_out: tuple[LeftOutModel, ...] = ()
    deployments: DeploymentPlan | None = None
    """The deployments that are requested together with the comparison."""

    @property
    def hosting_usd(self) -> float | None:
        """The part of the price that the deployments cost; None: unknown."""
        prices = [model.hosting_usd for model in self.comparison.models if model.starts_deployment]
        known = [usd for usd in prices if usd is not None]
        return sum(known) if len(known) == len(prices) else None

    @property
    def models(self) -> int:
        """The number of fine-tuned models that are compared."""
        return sum(not model.is_base for model in self.comparison.models)


async def start_comparison(
    database: Database, planned: PlannedComparison, *, by: str, now: float, claimed_until: float | None = None
) -> Comparison:
    """Store a comparison. With `claimed_until` the process that `claimed_by` names asks; otherwise the service does.

    Raises ConfigError if the models of the run are being compared already, and NothingToDo if this comparison is
    stored already, because another replica started it.
    """
    comparison = replace(planned.comparison, created_at=now, created_by=by, claimed_until=claimed_until)
    async with database.transaction() as tx:
        await comparison_records.lock_run(tx, comparison.run_id)
        running = await comparison_records.find_open(tx.connection, comparison.run_id)
        if running is not None:
            raise create_running_error(planned.run_name, running)
        if planned.deployments is not None:
            requested = await request_deployments(
                tx, planned.deployments, by=by, now=now, comparison_id=comparison.id
            )
            comparison = _with_requested(comparison, requested)
        if not await comparison_records.add(tx, comparison):
            raise NothingToDo(f"comparison {comparison.id} was started already", hint="Wait until it ends.")
    return comparison


def _with_requested(comparison: Comparison, requested: Sequence[Deployment]) -> Comparison:
    """Return the comparison with what its deployments cost before. One that somebody else started is not its own."""
    before = {each.id: each.earlier_usd or 0.0 for each in requested}

    def update(model: ModelToAsk) -> ModelToAsk:
        if not model.starts_deployment or model.deployment_id is None:
            return model
        if (usd := before.get(DeploymentId(model.deployment_id))) is not None:
            return replace(model, hosted_before_usd=usd)
        return replace(model, starts_deployment=False, hosting_usd=0.0)

    return replace(comparison, models=tuple(map(update, comparison.models)))


async def stop_comparison(database: Database, comparison_id: str, *, by: str, now: float) -> Comparison:
    """Stop a comparison. Its answers are kept. Raises ConfigError if there is none with this id, or it has ended."""
    async with database.transaction() as tx:
        comparison = await comparison_records.find(tx.connection, comparison_id)
        if comparison is None:
            raise ConfigError(
                f"there is no comparison {comparison_id}", hint="The comparisons of a run are listed with their ids."
            )
        stopped = replace(
            comparison, state=ComparisonState.STOPPED, message="stopped by an operator", finished_at=now
        )
        if not await comparison_records.finish(tx, stopped, at=now, cause=by):
            raise NothingToDo(f"comparison {comparison_id} has ended", hint="Its result and its answers are kept.")
        await stop_own_deployments(tx, comparison_id, by=by, now=now)
    return replace(stopped, claimed_by=None, claimed_until=None)


async def stop_own_deployments(tx: Transaction, comparison_id: str, *, by: str, now: float) -> list[Deployment]:
    """Request the stop of the deployments that the comparison has requested, and of no others."""
    stopped = []
    for deployment in await deployment_records.list_by_comparison(tx.connection, comparison_id):
        if deployment.state in TERMINAL_DEPLOYMENT_STATES or not deployment.needs_stop_request:
            continue
        outcome = request_stop(deployment, now=now)
        if await deployment_records.record(tx, outcome, at=now, cause=by):
            stopped.append(outcome.deployment)
    return stopped


def create_running_error(run_name: str, running: Comparison) -> ConfigError:
    """Create the error that a run is being compared already."""
    return ConfigError(
        f"the models of run {run_name} are being compared already (comparison {running.id})",
        hint="Wait until it ends, or stop it.",
    )
