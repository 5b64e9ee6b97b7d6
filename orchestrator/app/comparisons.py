"""Use cases that call fine-tuned models: comparisons of a run, and single questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from orchestrator.control.accounts import unknown_accounts_error
from orchestrator.control.comparisons import LeftOutModel, PlannedComparison, create_running_error, start_comparison
from orchestrator.control.deployment_plan import DeploymentPlan, DeploymentSelection, plan_deployments
from orchestrator.control.runs import get_current_run
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.comparison.model_reply import ModelReply, find_price_obstacle
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import InferencePrice, RequestPlan, estimate_hosting_hours
from orchestrator.core.deployment.cost import DeploymentPrice
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.errors import ConfigError, NothingToDo, ProviderError
from orchestrator.core.hold import Hold
from orchestrator.core.inference import ChatQuestion, ModelAddress
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_list
from orchestrator.daemon.comparisons.comparison_asker import MAX_REQUESTS_IN_FLIGHT
from orchestrator.daemon.comparisons.comparison_planner import (
    FindPrice,
    build_plan,
    find_left_out,
    list_callable_models,
    list_deploying_models,
    list_undeployed_jobs,
    plan_comparison,
)
from orchestrator.daemon.comparisons.comparison_runner import CLAIM_SECONDS, ComparisonRunner
from orchestrator.daemon.comparisons.probe_source import load_probes
from orchestrator.inputs.prices import load_prices
from orchestrator.providers.base import ChatProvider
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts as account_queries
from orchestrator.store.queries import jobs, replicas, runs
from orchestrator.store.queries.comparisons import acceptances, comparison_records
from orchestrator.store.queries.deployments import deployment_records

if TYPE_CHECKING:
    from orchestrator.app.wiring import App

_CLAIM_RETRY_SECONDS: Final = 2.0


class PreparedComparison(Struct, frozen=True, kw_only=True):
    """A comparison that may be run, with what it is expected to cost."""

    comparison: Comparison
    run_name: str
    probes: Mapping[str, Probe]
    plan: RequestPlan
    cause: str
    left_out: tuple[LeftOutModel, ...] = ()
    deployments: DeploymentPlan | None = None
    is_continued: bool = False
    answered: int = 0

    @property
    def planned(self) -> PlannedComparison:
        """The part that is stored and shown, without the probes."""
        return PlannedComparison(
            comparison=self.comparison,
            run_name=self.run_name,
            requests=self.plan.requests,
            usd=self.plan.usd,
            left_out=self.left_out,
            deployments=self.deployments,
        )


class ComparisonDesk:
    """The comparisons of the runs of this database."""

    def __init__(self, app: App, *, reads_file: bool = True) -> None:
        """`reads_file` is False in the service: the accounts file is loaded, and the version in force counts."""
        self._app = app
        self._reads_file = reads_file

    async def prepare(self, run_name: str | None, options: Mapping[str, Any], *, cause: str) -> PreparedComparison:
        """Prepare the comparison of a run, or the interrupted one, whose settings stay. Nothing is stored or sent.

        `options` take precedence over those of `[run.comparison]`. Raises ConfigError if the run cannot be compared,
        and if the estimated price exceeds `max_usd`.
        """
        app = self._app
        await self._load_file()
        async with app.database.read() as connection:
            run = await get_current_run(connection, run_name)
            dataset = await runs.get_dataset(connection, run.dataset_sha256, app.dataset_folder)
            interrupted = await comparison_records.find_open(connection, run.id)
            answered = await comparison_records.count_answers(connection, interrupted.id) if interrupted else 0
        listed = app.loader.get_comparison_settings(run.name)
        settings = interrupted.settings if interrupted else replace(listed, **options)
        probes = await asyncio.to_thread(load_probes, dataset, settings)
        comparison, deployments = (
            (interrupted, None) if interrupted else await self._plan(run, probes, settings, cause)
        )
        plan = build_plan(comparison, list(probes))
        if interrupted is None and (obstacle := plan.find_obstacle()):
            raise ConfigError(obstacle)
        return PreparedComparison(
            comparison=comparison,
            run_name=run.name,
            probes={probe.probe_id: probe for probe in probes},
            plan=plan,
            cause=cause,
            left_out=await self._find_left_out(run, comparison, deployments),
            deployments=deployments,
            is_continued=interrupted is not None,
            answered=answered,
        )

    async def plan(self, run_name: str | None, options: Mapping[str, Any]) -> PlannedComparison:
        """Plan the comparison of a run for a request to the service. Nothing is stored or sent.

        Raises ConfigError as `prepare` does, and if the models of the run are being compared already.
        """
        prepared = await self.prepare(run_name, options, cause="")
        if prepared.is_continued:
            raise create_running_error(prepared.run_name, prepared.comparison)
        return prepared.planned

    async def run(
        self, prepared: PreparedComparison, on_progress: Callable[[int, int], None] | None = None
    ) -> Comparison:
        """Ask the models and store the result. Where another process asks them, follow it to its end.

        If that process dies, its claim ends after some seconds, and this one continues.
        """
        app, comparison = self._app, prepared.comparison
        if not prepared.is_continued:
            now = app.clock.now()
            claimed = replace(prepared.planned, comparison=replace(comparison, claimed_by=app.replica_id))
            await start_comparison(
                app.database, claimed, by=prepared.cause, now=now, claimed_until=now + CLAIM_SECONDS
            )
        runner = self.create_runner()
        while True:
            try:
                return await self._add_acceptances(
                    await runner.run(comparison.id, prepared.probes, cause=prepared.cause, on_progress=on_progress)
                )
            except NothingToDo:
                async with app.database.read() as connection:
                    current = await comparison_records.find(connection, comparison.id)
                    answered = await comparison_records.count_answers(connection, comparison.id)
            if current is None or current.state is not ComparisonState.ASKING:
                return await self._add_acceptances(current or comparison)
            if on_progress is not None:
                on_progress(answered, prepared.plan.requests)
            await asyncio.sleep(_CLAIM_RETRY_SECONDS)

    def create_runner(self) -> ComparisonRunner:
        """Create a runner that asks with the connections of this process."""
        app = self._app
        return ComparisonRunner(app.database, app.connections.by_name, owner=app.replica_id, now=app.clock.now)

    async def load_probes(self, comparison: Comparison) -> dict[str, Probe]:
        """Load the probes of a stored comparison by id. Raises ConfigError and DatasetChanged."""
        app = self._app
        async with app.database.read() as connection:
            run = await runs.get(connection, RunId(comparison.run_id))
            dataset = await runs.get_dataset(connection, run.dataset_sha256, app.dataset_folder)
        probes = await asyncio.to_thread(load_probes, dataset, comparison.settings)
        return {probe.probe_id: probe for probe in probes}

    async def _load_file(self) -> None:
        if self._reads_file:
            await self._app.loader.load_accounts()

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
        return await self._add_acceptances(latest)

    async def _add_acceptances(self, comparison: Comparison) -> Comparison:
        async with self._app.database.read() as connection:
            return await acceptances.add_to_result(connection, comparison)

    async def ask(
        self,
        run_name: str | None,
        accounts: Collection[str] | None,
        question: ChatQuestion,
        max_usd: float | None,
        cause: str,
    ) -> list[ModelReply]:
        """Ask the models of a run, or those of some accounts, one question at the same time.

        Nothing is stored but an entry of the history. Without `max_usd` that of `[run.comparison]` is the limit.
        Raises ConfigError if no model can be called, and if the question may cost more than the limit.
        """
        app = self._app
        await self._load_file()
        async with app.database.read() as connection:
            run = await get_current_run(connection, run_name)
        usable, holds = await self._load_accounts()
        callable_models = await self._list_models(run, usable)
        models = [each for each in callable_models if accounts is None or each.account in accounts]
        if held := sorted(holds.keys() & set(accounts or ())):
            raise ConfigError(f"account {held[0]} is on hold: {holds[held[0]].reason}", hint=holds[held[0]].hint)
        if missing := sorted(set(accounts or ()) - {model.account for model in models}):
            raise await self._create_missing_models_error(run, missing)
        if not models:
            raise ConfigError(
                f"run {run.name} has no model that can be called",
                hint="Wait until the jobs have succeeded, and deploy models that need it with `orchestrator deploy`.",
            )
        limit = app.loader.get_comparison_settings(run.name).max_usd if max_usd is None else max_usd
        if obstacle := find_price_obstacle(models, question, limit):
            raise ConfigError(obstacle, hint="Raise the limit, allow shorter answers, or select fewer accounts.")
        now = app.clock.now()
        entry = EventData(at=now, cause=cause, note="models asked", run_id=run.id, message=f"{len(models)} models")

        async def write_event(tx: Transaction) -> None:
            tx.add_events(entry)

        await app.database.write(write_event)
        slots = asyncio.Semaphore(MAX_REQUESTS_IN_FLIGHT)
        return list(await asyncio.gather(*(self._ask_model(model, question, slots) for model in models)))

    async def _create_missing_models_error(self, run: Run, missing: Sequence[str]) -> ConfigError:
        """Create the error for accounts whose models cannot be asked, with the reason for each of them."""
        listed = self._app.connections.get_listed_accounts()
        async with self._app.database.read() as connection:
            run_jobs = await jobs.list_by_run(connection, run.id)
        reasons = {each.account: each.reason for each in find_left_out(run_jobs, (), listed)}
        if unknown := [name for name in missing if name not in reasons and name not in listed]:
            return unknown_accounts_error(unknown, {*listed, *reasons})
        details = [f"{name}: {reasons.get(name, 'the run has no job in this account')}" for name in missing]
        return ConfigError(
            f"run {run.name} has no model that can be called in {format_list(details, limit=10, separator='; ')}",
            hint="`orchestrator models` lists the models that can be called.",
        )

    async def _ask_model(self, model: ModelToAsk, question: ChatQuestion, slots: asyncio.Semaphore) -> ModelReply:
        app = self._app
        connection = app.connections.by_name.get(model.account)
        async with slots:
            started = app.clock.boottime()
            if connection is None:
                return ModelReply(model=model, error=f"account {model.account} has no key")
            provider = cast(ChatProvider, connection.provider)
            address = ModelAddress(base_url=model.base_url, model=model.model)
            try:
                reply = await provider.ask(address, question, None)
            except (ProviderError, ValueError) as error:
                return ModelReply(model=model, error=str(error))
            return ModelReply(model=model, reply=reply, seconds=app.clock.boottime() - started)

    async def _list_models(self, run: Run, accounts: Mapping[str, Account]) -> list[ModelToAsk]:
        run_jobs, ready, find_price = await self._load_facts(run)
        return list_callable_models(run_jobs, accounts=accounts, deployments=ready, find_price=find_price)

    async def _load_accounts(self) -> tuple[dict[str, Account], dict[str, Hold]]:
        """Return the listed accounts that may be asked, and the holds of the others: nothing is sent for these."""
        now = self._app.clock.now()
        async with self._app.database.read() as connection:
            states = await account_queries.list_all(connection)
        holds = {name: hold for name, state in states.items() if (hold := state.find_blocking_hold(now)) is not None}
        listed = self._app.connections.get_listed_accounts()
        return {name: account for name, account in listed.items() if name not in holds}, holds

    async def _find_left_out(
        self, run: Run, comparison: Comparison, deployments: DeploymentPlan | None
    ) -> tuple[LeftOutModel, ...]:
        async with self._app.database.read() as connection:
            run_jobs = await jobs.list_by_run(connection, run.id)
        obstacles = {line.job.account: line.obstacle for line in deployments.lines} if deployments else {}
        usable, holds = await self._load_accounts()
        left_out = find_left_out(run_jobs, comparison.models, usable, holds)
        return tuple(replace(each, reason=obstacles.get(each.account) or each.reason) for each in left_out)

    async def _load_facts(self, run: Run) -> tuple[list[Job], dict[str, Deployment], FindPrice]:
        app = self._app
        async with app.database.read() as connection:
            run_jobs = await jobs.list_by_run(connection, run.id)
            ready = _list_ready_deployments(await deployment_records.list_open(connection))
        prices = await asyncio.to_thread(load_prices, app.settings.prices_file)

        def find_price(provider: ProviderName, base_model: str) -> InferencePrice | None:
            return prices.find_inference(provider.value, base_model)

        return run_jobs, ready, find_price

    async def _plan(
        self, run: Run, probes: tuple[Probe, ...], settings: ComparisonSettings, cause: str
    ) -> tuple[Comparison, DeploymentPlan | None]:
        run_jobs, ready, find_price = await self._load_facts(run)
        accounts, _ = await self._load_accounts()
        deployments, deploying = None, []
        if settings.deploy:
            callable_models = list_callable_models(
                run_jobs, accounts=accounts, deployments=ready, find_price=find_price
            )
            undeployed = list_undeployed_jobs(run_jobs, callable_models, accounts)
            if undeployed:
                hours = estimate_hosting_hours(len(probes), settings.round_gap_seconds)
                deployments = await self._plan_deployments(run, undeployed, hours, find_price)
                deploying = list_deploying_models(deployments, find_price)
        comparison = plan_comparison(
            run,
            run_jobs,
            probes,
            settings,
            accounts=accounts,
            deployments=ready,
            find_price=find_price,
            now=self._app.clock.now(),
            cause=cause,
            deploying=deploying,
        )
        return comparison, deployments

    async def _plan_deployments(
        self, run: Run, undeployed: Sequence[Job], hours: float, find_price: FindPrice
    ) -> DeploymentPlan:
        """Plan the deployments of these models as an operator does it, for a short time. Nothing is stored.

        Raises ConfigError if an option is missing, or no service runs that would create them.
        """
        app = self._app
        if self._reads_file:
            async with app.database.read() as connection:
                if not await replicas.list_live(connection, app.clock.now()):
                    raise ConfigError(
                        "deployments are created and stopped by the service, and no service runs",
                        hint="Start `orchestrator serve` with the same database, or leave out --deploy.",
                    )
        providers = {job.account: job.provider for job in undeployed}

        async def find_deployment_price(
            account: str, base_model: str, spec: DeploymentSpec
        ) -> DeploymentPrice | None:
            price = await app.deployment_prices.find_price(account, base_model, spec)
            listed = find_price(providers[account], base_model)
            if price is None or price.usd_per_hour is not None or listed is None or not listed.usd_per_hour:
                return price
            return replace(price, usd_per_hour=listed.usd_per_hour, source="price file")

        return await plan_deployments(
            app.database,
            DeploymentSelection(accounts=list(providers), run=run.id, options={"keep_hours": hours}),
            get_tables=app.loader.get_deployment_tables,
            find_price=find_deployment_price,
        )


def _list_ready_deployments(opened: list[Deployment]) -> dict[str, Deployment]:
    """Return the deployments that answer calls and are not being stopped, by the job whose final model they serve."""
    ready = [each for each in opened if each.state is DeploymentState.READY and each.stop_reason is None]
    return {each.job_id: each for each in ready if each.job_id is not None and each.checkpoint is None}
