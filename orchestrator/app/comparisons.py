"""Use cases of comparisons: prepare or continue one, run it, and find the latest result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from orchestrator.control.runs import get_current_run
from orchestrator.core.account import ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import InferencePrice, RequestPlan
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.jobs.run import Run
from orchestrator.daemon.comparisons.comparison_planner import plan_comparison
from orchestrator.daemon.comparisons.comparison_runner import CLAIM_SECONDS, ComparisonRunner, build_plan
from orchestrator.daemon.comparisons.probe_source import load_probes
from orchestrator.inputs.prices import load_prices
from orchestrator.store.queries import jobs, runs
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.deployments import deployment_records

if TYPE_CHECKING:
    from orchestrator.app.wiring import App

_CLAIM_RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedComparison:
    """A comparison that may be run, with what it is expected to cost."""

    comparison: Comparison
    probes: Mapping[str, Probe]
    plan: RequestPlan
    cause: str
    is_continued: bool = False
    answered: int = 0


class ComparisonDesk:
    """The comparisons of the runs of this database."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def prepare(self, run_name: str | None, options: Mapping[str, Any], *, cause: str) -> PreparedComparison:
        """Prepare the comparison of a run, or the interrupted one, whose settings stay. Nothing is stored or sent.

        Raises ConfigError if the run cannot be compared, and if the estimated price exceeds `max_usd`.
        """
        app = self._app
        await app.loader.load_accounts()
        async with app.database.read() as connection:
            run = await get_current_run(connection, run_name)
            dataset = await runs.get_dataset(connection, run.dataset_sha256, app.dataset_folder)
            interrupted = await comparison_records.find_open(connection, run.id)
            answered = await comparison_records.count_answers(connection, interrupted.id) if interrupted else 0
        settings = interrupted.settings if interrupted else ComparisonSettings(**options)
        probes = await asyncio.to_thread(load_probes, dataset, settings)
        comparison = interrupted or await self._plan(run, probes, settings, cause)
        plan = build_plan(comparison, list(probes))
        if interrupted is None and (obstacle := plan.find_obstacle()):
            raise ConfigError(obstacle)
        return PreparedComparison(
            comparison=comparison,
            probes={probe.probe_id: probe for probe in probes},
            plan=plan,
            cause=cause,
            is_continued=interrupted is not None,
            answered=answered,
        )

    async def run(
        self, prepared: PreparedComparison, on_progress: Callable[[int, int], None] | None = None
    ) -> Comparison:
        """Ask the models and store the result. Raises NothingToDo if another process asks them.

        The claim of a process that was killed is in force for some seconds, and is waited for.
        """
        app = self._app
        if not prepared.is_continued:
            started = replace(prepared.comparison, created_at=app.clock.now())
            await app.database.write(lambda tx: comparison_records.add(tx, started))
        runner = ComparisonRunner(app.database, app.connections.by_name, owner=app.replica_id, now=app.clock.now)
        deadline = app.clock.boottime() + CLAIM_SECONDS + _CLAIM_RETRY_SECONDS
        while True:
            try:
                return await runner.run(
                    prepared.comparison.id, prepared.probes, cause=prepared.cause, on_progress=on_progress
                )
            except NothingToDo:
                if app.clock.boottime() > deadline:
                    raise
            await asyncio.sleep(_CLAIM_RETRY_SECONDS)

    async def find_latest(self, run_name: str | None) -> Comparison:
        """Return the latest finished comparison of a run. Raises NothingToDo if there is none."""
        async with self._app.database.read() as connection:
            run = await get_current_run(connection, run_name)
            latest = await comparison_records.find_latest_finished(connection, run.id)
        if latest is None:
            raise NothingToDo(
                f"the models of run {run.name} have not been compared",
                hint="`orchestrator compare` compares them.",
            )
        return latest

    async def _plan(
        self, run: Run, probes: tuple[Probe, ...], settings: ComparisonSettings, cause: str
    ) -> Comparison:
        app = self._app
        async with app.database.read() as connection:
            run_jobs = await jobs.list_by_run(connection, run.id)
            ready = _list_ready_deployments(await deployment_records.list_open(connection))
        prices = await asyncio.to_thread(load_prices, app.settings.prices_file)

        def find_price(provider: ProviderName, base_model: str) -> InferencePrice | None:
            return prices.find_inference(provider.value, base_model)

        return plan_comparison(
            run,
            run_jobs,
            probes,
            settings,
            accounts=app.connections.get_listed_accounts(),
            deployments=ready,
            find_price=find_price,
            now=app.clock.now(),
            cause=cause,
        )


def _list_ready_deployments(opened: list[Deployment]) -> dict[str, Deployment]:
    """Return the deployments that answer calls, by the job whose final model they serve."""
    return {
        each.job_id: each
        for each in opened
        if each.state is DeploymentState.READY and each.job_id is not None and each.checkpoint is None
    }
