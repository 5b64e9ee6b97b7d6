"""Moves a deployment through its lifecycle: load it, execute the one action it needs, record the outcome, repeat."""

# Theory of operation
#
# The same four parts as for jobs (daemon/reconciler.py), with the same guarantees:
#
#   1. load      the deployment with its account, its job and its run
#   2. decide    `next_deployment_action`: pure (core/deployment/next_action.py)
#   3. act       `DeploymentSteps` calls the provider
#   4. record    `DeploymentRecorder` commits the outcome with a compare and set
#
# Exactly one. The intent of a create, with the expiry, is committed before anything is sent. The create comes after a
# search for it, and its deadline is at or before the end of the intent. So a deployment is never created twice, and
# never exists without a stored end.
#
# Several replicas. Deployments have no queue: every replica reads the due ones from the table. Of two that take the
# same one, the compare and set lets one record its intent. The other steps first claim the deployment by moving its
# wake-up, so that the second replica makes no calls; a replica that dies leaves a claim that ends by itself. A claim
# makes work efficient, not safe, hence SQLite does without it.
#
# Only a service that stays (`serve`) creates. A command such as `run` ends with its jobs, and nobody would stop what
# it has created. It does follow and remove what exists.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never

from structlog.stdlib import BoundLogger

from orchestrator.core.account_state import AccountHeld
from orchestrator.core.clock import Clock
from orchestrator.core.deployment import next_action as act
from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_state import interpret_deployment_error
from orchestrator.core.deployment.spec_choice import find_option_price
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    refuse_deployment,
    retry_deployment_later,
    sleep_deployment_until,
    start_stop,
    withdraw_deployment,
)
from orchestrator.core.errors import DatabaseUnavailable, Failure, ProviderError, UnknownOutcome
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.next_action import Idle, Wait
from orchestrator.core.jobs.retry_policy import backoff
from orchestrator.core.structs import replace
from orchestrator.daemon.deployments.recorder import DeploymentRecorder, StaleDeployment
from orchestrator.daemon.deployments.steps import DeploymentSteps
from orchestrator.planning.deployment_forecasts import find_deployment_provider
from orchestrator.providers.base import Deadline, DeploymentProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.outage import describe_error
from orchestrator.store.queries.deployments import deployment_requests
from orchestrator.store.queries.deployments.deployment_requests import PRICE_HOLD_KINDS, LoadedDeployment

HELD_RECHECK_SECONDS = 600.0  # a release wakes the deployment; this is the fallback
UNREACHABLE_ACCOUNT_RECHECK_SECONDS = 600.0  # for a deployment whose account has no connection
NO_CREATE_RECHECK_SECONDS = 60.0  # in a process that does not create deployments
OUTAGE_PAUSE_SECONDS = 2.0  # the deployment is still due: without a pause it would be handled again at once
INTERNAL_ERROR_HINT = (
    "Internal error. Please report it with the `deployment.internal_error` log lines. It will be retried."
)
UNREACHABLE_KIND = "account_unreachable"
UNREACHABLE_HINT = (
    "Add the account to the accounts file again, with its key, so that the service can follow and stop the "
    "deployment; or stop it in the provider's console."
)


class _ClockUnsettled(Exception):
    """The clock of this machine was set and the stored times were not corrected yet, so no step may be taken."""


class DeploymentReconciler:
    """Executes steps of deployments. Safe for concurrent use with different deployments."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        steps: DeploymentSteps,
        recorder: DeploymentRecorder,
        clock: Clock,
        jitter: Callable[[], float],
        intent_seconds: float,
        log: BoundLogger,
        creates: bool = True,
        clock_agrees: Callable[[], bool] = lambda: True,
        failpoint: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._database = database
        self._connections = connections  # by account; the caller replaces entries when the accounts file changes
        self._steps = steps
        self._recorder = recorder
        self._clock = clock
        self._jitter = jitter  # 0 to 1: spreads retries
        self._intent_seconds = intent_seconds
        self._log = log
        self._creates = creates  # False: see the theory of operation
        self._clock_agrees = clock_agrees  # False: stored intents cannot be compared with this clock
        self._failpoint = failpoint  # called at named points of a step, so that tests can crash the process there
        self._is_stopping = False

    def stop(self) -> None:
        """Begin no further step: those at work end, and the deployments stay due."""
        self._is_stopping = True

    async def handle(self, deployment_id: DeploymentId) -> None:
        """Execute steps of the deployment until it waits. Never raises: an error stays with this deployment."""
        try:
            while (
                not self._is_stopping
                and (loaded := await self._load(deployment_id))
                and self._is_due(loaded.deployment)
            ):
                self._check_clock()
                await self._step(loaded)
        except StaleDeployment as error:
            self._log.info("deployment.version_conflict", deployment=deployment_id, message=str(error))
        except (DatabaseUnavailable, _ClockUnsettled):
            await asyncio.sleep(OUTAGE_PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - one broken deployment never stops the others
            self._log.exception("deployment.internal_error", deployment=deployment_id, message=describe_error(error))
            await self._record_internal_error(deployment_id, error)

    async def _load(self, deployment_id: DeploymentId) -> LoadedDeployment | None:
        async with self._database.read() as connection:
            return await deployment_requests.load(connection, deployment_id)

    def _is_due(self, deployment: Deployment) -> bool:
        return deployment.wake_at is not None and deployment.wake_at <= self._clock.now()

    async def _record_internal_error(self, deployment_id: DeploymentId, error: Exception) -> None:
        """Show the internal error with the deployment and retry with back-off."""
        failure = Failure("internal_error", f"{type(error).__name__}: {describe_error(error)}", INTERNAL_ERROR_HINT)
        try:
            if loaded := await self._load(deployment_id):
                until = self._clock.now() + backoff(loaded.deployment.attempts, self._jitter())
                await self._recorder.record(
                    retry_deployment_later(loaded.deployment, failure, until=until, maybe_sent=True)
                )
        except Exception:  # noqa: BLE001 - as above; the deployment is still due, hence the pause
            await asyncio.sleep(OUTAGE_PAUSE_SECONDS)

    async def _step(self, loaded: LoadedDeployment) -> None:
        """Execute one step and record its outcome."""
        connection = self._connections.get(loaded.deployment.account)
        action = act.next_deployment_action(loaded.deployment, self._build_context(loaded), self._clock.now())
        outcome = await self._execute(action, loaded, connection)
        if outcome is None:  # the step has recorded its outcome already
            return
        state = outcome.previous_state
        self._failpoint(f"deployment {state}: before record")
        await self._recorder.record(outcome, rebase_on_stop=True)
        self._failpoint(f"deployment {state}: after record")
        if isinstance(outcome.account_update, AccountHeld):
            await self._log_account_hold(loaded.deployment.id)

    def _build_context(self, loaded: LoadedDeployment) -> act.DeploymentContext:
        job, own = loaded.job, loaded.deployment.hold
        holds = [loaded.account_state.hold]
        # A price is decided again whenever the deployment is due: it is due because something may have changed.
        if own is None or own.kind not in PRICE_HOLD_KINDS:
            holds.append(own)
        return act.DeploymentContext(
            account_verified=loaded.account_state.verified_at is not None,
            model_exists=job is None or (job.state is JobState.SUCCEEDED and job.gone_at is None),
            may_create_now=self._creates,
            holds=tuple(hold for hold in holds if hold),
        )

    async def _execute(
        self, action: act.DeploymentAction, loaded: LoadedDeployment, connection: ProviderConnection | None
    ) -> DeploymentOutcome | None:
        deployment, now = loaded.deployment, self._clock.now()
        match action:
            case Idle():
                return sleep_deployment_until(deployment, self._next_check(loaded, now))
            case Wait(until):
                return sleep_deployment_until(deployment, until)
            case act.WithdrawDeployment():
                return withdraw_deployment(deployment, now=now)
            case act.StartRemoval(reason):
                return start_stop(deployment, reason, now=now)
            case _:
                return await self._execute_remotely(action, loaded, connection)

    async def _execute_remotely(
        self, action: act.RemoteDeploymentAction, loaded: LoadedDeployment, connection: ProviderConnection | None
    ) -> DeploymentOutcome | None:
        now = self._clock.now()
        if connection is None:  # the accounts file of another replica may have the account
            return self._describe_unreachable(loaded.deployment, now)
        provider = find_deployment_provider(connection.provider)
        if provider is None:
            return self._refuse_provider(loaded.deployment, now)
        if isinstance(action, act.CreateDeployment):
            return await self._create(loaded, provider)
        loaded = await self._claim(loaded)
        match action:
            case act.VerifyDeploymentAccount():
                work = self._steps.verify(loaded.deployment, connection)
            case act.PollDeployment():
                work = self._steps.poll(loaded.deployment, provider)
            case act.RemoveDeployment():
                work = self._steps.remove(loaded, provider)
            case _:
                assert_never(action)
        return await self._attempt(loaded.deployment, work)

    async def _claim(self, loaded: LoadedDeployment) -> LoadedDeployment:
        """Move the wake-up, so that no other replica makes the same calls. Raises StaleDeployment if one does."""
        if self._database.is_sqlite:
            return loaded
        until = self._clock.now() + self._intent_seconds
        return replace(
            loaded, deployment=await self._recorder.record(sleep_deployment_until(loaded.deployment, until))
        )

    async def _create(self, loaded: LoadedDeployment, provider: DeploymentProvider) -> DeploymentOutcome | None:
        if loaded.deployment.state is DeploymentState.WANTED:
            priced = await self._find_price(loaded, provider)
            if isinstance(priced, DeploymentOutcome):
                return priced
            loaded = replace(loaded, deployment=priced)
        # Boot clock first: should the process freeze between the two lines, the deadline ends before the intent.
        deadline = Deadline(self._clock.boottime() + self._intent_seconds, self._clock.boottime)
        until = self._clock.now() + self._intent_seconds
        self._check_clock()  # after the time was read: an intent by a clock that was just set could end too early
        deployment = await self._recorder.write_intent(loaded, until=until)
        if deployment.intent_until != until:  # it is held, or waits for another operation
            return None
        self._failpoint(f"deployment {deployment.state}: after intent")
        work = self._steps.create(replace(loaded, deployment=deployment), provider, deadline)
        return await self._attempt(deployment, work, deadline)

    async def _find_price(
        self, loaded: LoadedDeployment, provider: DeploymentProvider
    ) -> Deployment | DeploymentOutcome:
        """Return the deployment with its price per hour, if the provider reports it; or why it cannot be created."""
        deployment = loaded.deployment
        if deployment.usd_per_hour is not None or deployment.approved_at is not None or loaded.job is None:
            return deployment
        now, base_model = self._clock.now(), loaded.job.base_model
        try:
            options = await self._steps.list_options(provider, base_model)
        except ProviderError as error:
            return interpret_deployment_error(deployment, error, now=now, jitter=self._jitter())
        if options is None:
            return deployment
        if not options:
            reason = f"{deployment.provider} cannot deploy models of {base_model}"
            hint = "The fine-tuned model is kept. Choose another base model, or download the model where possible."
            return refuse_deployment(deployment, Failure(HoldKind.NOT_SERVABLE, reason, hint), now=now)
        price = find_option_price(deployment.spec, options)
        return replace(deployment, usd_per_hour=price.usd_per_hour, price_source=price.source)

    async def _attempt(
        self, deployment: Deployment, work: Awaitable[DeploymentOutcome], deadline: Deadline | None = None
    ) -> DeploymentOutcome:
        """Return the outcome of `work`, also where it fails. What may have been sent keeps its intent."""
        try:
            return await work
        except UnknownOutcome as error:
            # Computed again from the boot clock: the wall clock may have been set since the intent was written.
            until = self._clock.now() + deadline.seconds_left if deadline else deployment.intent_until
            return self._decide(replace(deployment, intent_until=until), error)
        except ProviderError as error:
            return self._decide(deployment, error)

    def _decide(self, deployment: Deployment, error: ProviderError) -> DeploymentOutcome:
        return interpret_deployment_error(deployment, error, now=self._clock.now(), jitter=self._jitter())

    async def _log_account_hold(self, deployment_id: DeploymentId) -> None:
        """Log the hold that was recorded for the account. An operator may have held the account meanwhile."""
        loaded = await self._load(deployment_id)
        if loaded and (hold := loaded.account_state.hold) and not loaded.account_state.is_held_by_operator:
            account = loaded.deployment.account
            self._log.warning("account.held", account=account, kind=hold.kind, message=hold.reason, hint=hold.hint)

    def _describe_unreachable(self, deployment: Deployment, now: float) -> DeploymentOutcome:
        """Show once that the deployment cannot be reached, and check again from time to time."""
        until = now + UNREACHABLE_ACCOUNT_RECHECK_SECONDS
        if deployment.failure is not None and deployment.failure.kind == UNREACHABLE_KIND:
            return sleep_deployment_until(deployment, until)
        reason = f"account {deployment.account} is not in the accounts file, or has no key"
        failure = Failure(UNREACHABLE_KIND, reason, UNREACHABLE_HINT)
        return retry_deployment_later(deployment, failure, until=until, maybe_sent=True)

    def _refuse_provider(self, deployment: Deployment, now: float) -> DeploymentOutcome:
        reason = f"this version of the service cannot deploy models at {deployment.provider}"
        failure = Failure(HoldKind.NOT_SERVABLE, reason, "Deploy the fine-tuned model in the provider's console.")
        if deployment.state is DeploymentState.WANTED:
            return refuse_deployment(deployment, failure, now=now)
        until = now + UNREACHABLE_ACCOUNT_RECHECK_SECONDS
        return retry_deployment_later(deployment, failure, until=until, maybe_sent=True)

    def _check_clock(self) -> None:
        if not self._clock_agrees():
            raise _ClockUnsettled

    def _next_check(self, loaded: LoadedDeployment, now: float) -> float | None:
        """Return when an idle deployment is due again."""
        if not self._creates and loaded.deployment.state is DeploymentState.WANTED:
            return now + NO_CREATE_RECHECK_SECONDS
        ends = [hold.until for hold in (loaded.deployment.hold, loaded.account_state.hold) if hold and hold.until]
        return min([*ends, now + HELD_RECHECK_SECONDS])
