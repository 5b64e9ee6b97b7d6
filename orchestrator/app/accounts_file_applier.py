"""Applies the accounts file: plans its runs, and makes them the current runs of the database."""

# Theory of operation
#
# The order of the steps matters:
#
#   1. load the accounts, the keys and the chats. An error that concerns the whole file ends everything here, and
#      changes nothing.
#   2. configure the notification targets: what happens next may have to be notified.
#   3. synchronise the stored accounts with the listed ones, which all runs share.
#   4. for each run: read the stored run and jobs, and ask the providers for facts (base models, retirement dates,
#      prices), and compute the plan (pure).
#   5. store all plans as the current runs in one transaction.
#   6. request moderation, which runs beside the ticks; jobs wait for it.
#
# A change of one run never touches another. A run that cannot be applied, because of its chats for example, is a
# refusal: its current version stays, and all others are applied. A caller that knows which runs have changed passes
# their names (`only`); the chats of the others are not even read.

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from structlog.stdlib import BoundLogger

from orchestrator import control
from orchestrator.app.connections import Connections
from orchestrator.app.desired_state_loader import DesiredStateLoader
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.control.plan import CheckedPlan
from orchestrator.core.clock import Clock
from orchestrator.core.errors import ConfigError, OrchestratorError
from orchestrator.core.finding import FindingSummary
from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.plan import Plan, PlanStep, Work, check_distinct_work
from orchestrator.core.structs import Struct
from orchestrator.daemon.deployments.run_deployments import RunDeployments, RunDeploymentTable
from orchestrator.daemon.maintenance import model_expiry
from orchestrator.daemon.moderation_pool import ModerationPool
from orchestrator.daemon.service import AppliedFile
from orchestrator.planning.base_models import ReportedModels
from orchestrator.planning.desired_state import DesiredState
from orchestrator.planning.input_loader import LoadedInputs
from orchestrator.planning.moderation import build_pending_moderation, find_known_moderation
from orchestrator.planning.provider_facts import gather_provider_facts
from orchestrator.store.db.database import Database


class PlannedRun(Struct, frozen=True, kw_only=True):
    """A run of the accounts file with its plan."""

    desired: DesiredState
    plan: Plan
    models: ReportedModels  # the base models, as the providers report them


class PlannedFile(Struct, frozen=True, kw_only=True):
    """The accounts file with the plans of its runs."""

    inputs: LoadedInputs
    runs: Sequence[PlannedRun]
    refusals: Mapping[str, OrchestratorError]  # requested runs without a plan, by name


class AccountsFileApplier:
    """Plans and applies the runs of the accounts file."""

    def __init__(
        self,
        database: Database,
        loader: DesiredStateLoader,
        *,
        connections: Connections,
        notification_targets: NotificationTargets,
        moderation_pool: ModerationPool,
        run_deployments: RunDeploymentTable,
        clock: Clock,
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._loader = loader
        self._connections = connections
        self._notification_targets = notification_targets
        self._moderation_pool = moderation_pool
        self._run_deployments = run_deployments
        self._clock = clock
        self._log = log

    async def build_plans(self, only: Collection[str] | None = None) -> PlannedFile:
        """Plan the runs named in `only` (None: all) without storing or sending anything that costs.

        Raises ConfigError or DatasetError.
        """
        return await self._plan_runs(await self._loader.load(only), self._clock.now(), with_moderation=False)

    async def apply(self, *, start: bool, cause: str, only: Collection[str] | None = None) -> AppliedFile:
        """Make the runs of the file the current runs, and request their moderation.

        With `only` the other runs stay as they are. Without `start` the runs only upload their files. `cause` is
        stored with the events. Raises ConfigError or DatasetError; the gates of a readable file apply all the same.
        """
        try:
            inputs = await self._loader.load(only)
        except OrchestratorError:  # for example unusable chats, which change nothing about models that exist
            await control.apply_gates(self._database, await self._loader.read_gates())
            raise
        await self._notification_targets.configure(inputs.accounts_file.targets, inputs.secrets)
        now = self._clock.now()
        await control.sync_accounts(self._database, inputs.listed_accounts, now=now)
        planned = await self._plan_runs(inputs, now, with_moderation=True)
        names = [run.options.name for run in inputs.accounts_file.runs]
        applied_names = {each.plan.name for each in planned.runs}
        # Before the jobs exist: one that succeeds requests the deployment of its run.
        limits = {run.options.name: run.options.max_total_usd for run in inputs.accounts_file.runs}
        self._run_deployments.apply({each.plan.name: _build_run_deployments(each) for each in planned.runs}, limits)
        runs = await control.apply_plans(
            self._database,
            [_build_checked_plan(each) for each in planned.runs],
            accounts=[account.name for account in inputs.accounts_file.accounts],
            unchanged=[name for name in names if name not in applied_names],
            gates={run.options.name: run.options.gate for run in inputs.accounts_file.runs},
            start=start,
            now=now,
            cause=cause,
        )
        self._moderation_pool.retain(names)
        self._log_inputs(inputs)
        for each, run in zip(planned.runs, runs, strict=True):
            self._moderation_pool.request(each.desired, run)
            await model_expiry.record_base_model_retirements(self._database, each.plan.specs, each.models)
            self._log_applied_plan(each.plan, run)
        return AppliedFile(
            runs=names,
            schedules={each.plan.name: each.desired.run.options.schedule for each in planned.runs},
            refusals=planned.refusals,
            comparison_schedules={each.plan.name: each.desired.run.comparison_schedule for each in planned.runs},
        )

    async def _plan_runs(self, inputs: LoadedInputs, now: float, *, with_moderation: bool) -> PlannedFile:
        planned: list[PlannedRun] = []
        refusals = dict(inputs.refusals)
        for desired in inputs.runs:
            each = await self._plan_run(desired, now, with_moderation=with_moderation)
            try:
                check_distinct_work([Work.from_plan(other.plan) for other in (*planned, each)])
            except ConfigError as error:  # the first of the two is kept
                refusals[each.plan.name] = error
            else:
                planned.append(each)
        return PlannedFile(inputs=inputs, runs=planned, refusals=refusals)

    async def _plan_run(self, desired: DesiredState, now: float, *, with_moderation: bool) -> PlannedRun:
        known = await control.load_database_state(self._database, desired.job_ids, desired.run_id, now=now)
        moderation = find_known_moderation(desired, known.run, self._connections.by_name, now)
        if moderation is None and with_moderation:
            moderation = build_pending_moderation(now)
        models, facts = await gather_provider_facts(desired, known, self._connections.by_name, self._log, now)
        return PlannedRun(desired=desired, plan=desired.build_plan(known, moderation, facts), models=models)

    def _log_inputs(self, inputs: LoadedInputs) -> None:
        for name, missing in inputs.keys.missing.items():
            self._log.warning(
                "account.held", account=name, kind=missing.kind, message=missing.reason, hint=missing.hint
            )
        for warning in inputs.warnings:
            self._log.warning("accounts_file.warned", message=warning)

    def _log_applied_plan(self, plan: Plan, run: Run) -> None:
        for warning in plan.warnings:
            self._log.warning("base_model.retiring", message=warning)
        self._log.info(
            "plan.applied",
            run=run.id,
            name=run.name,
            dataset=run.dataset_sha256,
            accounts=len(plan.lines),
            new=plan.count(PlanStep.NEW),
            planned_usd=plan.total_usd,
        )
        for hold in run.holds:
            write = self._log.info if hold.kind in SELF_RELEASING_HOLD_KINDS else self._log.warning
            write("run.held", run=run.id, name=run.name, kind=hold.kind, message=hold.reason, hint=hold.hint)


def _build_checked_plan(planned: PlannedRun) -> CheckedPlan:
    findings = FindingSummary.from_findings(planned.desired.findings, planned.desired.counts)
    return CheckedPlan(plan=planned.plan, findings=findings, deployments=planned.desired.run.deployments)


def _build_run_deployments(planned: PlannedRun) -> RunDeployments:
    return RunDeployments(run_id=planned.plan.run_id, specs=planned.desired.run.deployments)
