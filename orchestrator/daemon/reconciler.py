"""Reconciler: the one loop. Load a job, do the one thing it needs, record what came of it.

The order of every paid step: write the intent, look whether it happened already, act before the deadline, record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

from structlog.stdlib import BoundLogger

from orchestrator.core import action as act
from orchestrator.core.account import Account
from orchestrator.core.advance import Outcome, advance, give_up, hold, park, renew_intent, stumble
from orchestrator.core.budget import month_start, over_budget
from orchestrator.core.clock import Clock
from orchestrator.core.errors import (
    Ambiguous,
    DatabaseAway,
    DatasetChanged,
    Failure,
    ProviderError,
    SlotsTaken,
    StaleJob,
    UnknownOutcome,
    UnsafePlan,
)
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.job import Job, JobId
from orchestrator.core.lifecycle import AT_PROVIDER, ENDS, Event, State
from orchestrator.core.retry import GiveUp, HoldAccount, RetryAt, backoff, decide, hint_for
from orchestrator.core.secret import Redactor
from orchestrator.core.stall import with_warning
from orchestrator.core.watch import NOBODY, Watch
from orchestrator.daemon.files import Files, sending_seconds
from orchestrator.daemon.journal import tell, tell_model, tell_warning
from orchestrator.daemon.lasting import Lasting
from orchestrator.daemon.loading import Load
from orchestrator.daemon.models import Limit
from orchestrator.daemon.steps import Identify, Pace, Steps
from orchestrator.providers.base import Connection, Deadline
from orchestrator.store import costs, jobs, outcomes
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database
from orchestrator.store.outage import reason_of

SLOT_LOOK = 60.0  # seconds between two looks for a free slot, should a wake-up be lost
STRANGE_LOOK = 10.0  # seconds between two looks at a job whose account is not in this replica's accounts file
CAUSE = "service"
BUG_HINT = (
    "This is a bug of orchestrator: please report it with the lines `job.broken` of the log. It is tried again."
)
UNSEEN_HINT = (
    "Whether a job of ours is at the provider, and how far, cannot be seen. `orchestrator release` the account to "
    "look again; nothing is created twice."
)


class _ClockSet(Exception):
    """This machine's clock was set, and what is stored does not follow it yet. Nothing is done until it does."""


class Reconciler:
    """Moves one job at a time; any number of them may be moved at once."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, Connection],
        *,
        load: Load,
        identify: Identify,
        redact: Redactor,
        clock: Clock,
        jitter: Callable[[], float],
        pace: Pace,
        datasets: Path,
        replica: str,
        log: BoundLogger,
        watch: Watch = NOBODY,
        limit: Limit = asyncio.timeout,
        clock_agrees: Callable[[], bool] = lambda: True,
        reached: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._database = database
        self._load = load
        self._connections = connections
        lasting = Lasting(database)
        self._steps = Steps(
            identify=identify, clock=clock, jitter=jitter, pace=pace, lasting=lasting, log=log, limit=limit
        )
        self._redact = redact
        self._clock = clock
        self._jitter = jitter
        self._pace = pace
        self._files = Files(database, datasets)
        self._log = log
        self._replica = replica
        self._watch = watch
        self._clock_agrees = clock_agrees  # with the times that are stored; else no intent is to be trusted
        self._reached = reached  # told the named points of a step, for those who test what a crash there does

    async def handle(self, job_id: JobId) -> None:
        """Move the job until it waits. Whatever goes wrong stays with this job."""
        try:
            if loaded := await self._load(job_id):
                self._watch.woke(loaded.job, self._clock.now())
            while loaded is not None:
                self._check_clock()
                loaded = await self._step(loaded)
        except StaleJob as error:
            self._log.info("job.stale", job=job_id, message=str(error))
        except (DatabaseAway, _ClockSet):  # the job is still due, so do not spin on it
            await asyncio.sleep(self._pace.poll_min)
        except Exception as error:  # noqa: BLE001 - one broken job never stops the others
            self._log.exception("job.broken", job=job_id, message=reason_of(error))
            await self._break_off(job_id, error)

    async def _break_off(self, job_id: JobId, error: Exception) -> None:
        """A bug of ours: show it with the job, and try again later and later."""
        failure = Failure("internal_error", f"{type(error).__name__}: {reason_of(error)}", BUG_HINT)
        try:
            if loaded := await self._load(job_id):
                until = self._clock.now() + backoff(loaded.job.attempts, self._jitter())
                await self._record(stumble(loaded.job, failure, until=until, counts=True, sent=True))
        except Exception:  # noqa: BLE001 - as above; the job is still due, so do not spin on it
            await asyncio.sleep(self._pace.poll_min)

    async def _step(self, loaded: jobs.Loaded) -> jobs.Loaded | None:
        """One step. What the next one starts from, when it is due already."""
        connected = self._connections.get(loaded.job.account)
        action = act.next_action(loaded.job, self._around(loaded, connected), self._clock.now())
        outcome = await self._do(action, loaded, connected)
        if not isinstance(action, act.Rest):  # what rests is held, or ready and waits for a slot: its status says so
            outcome = with_warning(loaded.job, outcome, now=self._clock.now(), stalled=self._pace.stalled)
        self._reached(f"{loaded.job.state}: before record")
        job = await self._record(outcome, despite_cancel=True)
        self._reached(f"{loaded.job.state}: after record")
        if job.wake_at is None or job.wake_at > self._clock.now():
            return None
        if job.state is State.READY:  # before money is spent, whatever may have changed meanwhile is looked at
            return await self._load(job.id)
        return loaded.after(outcome, job)

    def _around(self, loaded: jobs.Loaded, connected: Connection | None) -> act.Circumstances:
        return act.Circumstances(
            verified=loaded.standing.verified_at is not None,
            started=loaded.run.started_at is not None,
            slot_free=connected is not None and loaded.running < connected.account.max_running_jobs,
            holds=act.holds_on(loaded.job, loaded.run, loaded.standing),
        )

    async def _do(self, action: act.Action, loaded: jobs.Loaded, connected: Connection | None) -> Outcome:
        job, now = loaded.job, self._clock.now()
        match action:
            case act.Rest():
                return park(job, self._next_look(loaded, now))
            case act.Wait(until):
                return park(job, until)
            case act.Abandon():
                return advance(job, Event.CANCELLED, now=now)
            case _ if connected is None:  # another replica may know the account
                return park(job, now + STRANGE_LOOK)
            case _:
                return await self._call(action, loaded, connected)

    async def _call(self, action: act.Action, loaded: jobs.Loaded, connected: Connection) -> Outcome:
        """The actions that speak to the provider."""
        job, provider = loaded.job, connected.provider
        match action:
            case act.Verify():
                return await self._attempt(job, self._steps.verify(loaded, connected))
            case act.Upload():
                return await self._upload(loaded, connected)
            case act.CheckFile():
                return await self._attempt(job, self._steps.check_file(job, provider))
            case act.Submit():
                return await self._submit(loaded, connected)
            case act.Settle():
                return await self._attempt(job, self._steps.settle(job, provider, loaded))
            case act.Follow():
                return await self._attempt(job, self._steps.follow(job, provider, loaded))
            case act.Stop():
                return await self._attempt(job, self._steps.stop(job, provider))
            case act.Rest() | act.Wait() | act.Abandon():
                raise AssertionError("needs no provider")
            case _:
                assert_never(action)

    async def _upload(self, loaded: jobs.Loaded, connected: Connection) -> Outcome:
        job, provider = loaded.job, connected.provider
        try:
            files = await self._files.of_job(loaded)
        except DatasetChanged as error:
            until = self._clock.now() + backoff(job.attempts, self._jitter())
            return stumble(job, Failure.of(error), until=until, counts=True, sent=True)
        seconds = self._pace.intent + sending_seconds(files, provider.capabilities)
        job, deadline = await self._intend(job, Event.UPLOAD_STARTED, seconds)
        return await self._attempt(job, self._steps.upload(job, provider, files, deadline), deadline)

    async def _submit(self, loaded: jobs.Loaded, connected: Connection) -> Outcome:
        try:
            job, deadline = await self._intend(loaded.job, Event.SUBMIT_STARTED, self._pace.intent, connected.account)
        except SlotsTaken:
            return park(loaded.job, self._next_look(loaded, self._clock.now()))
        except UnsafePlan as error:
            return hold(loaded.job, Hold(HoldKind.OVER_BUDGET, error.message, error.hint))
        if job.provider in loaded.run.pins:  # what the provider chose may have become known just now
            loaded = await self._load(job.id) or loaded
        return await self._attempt(job, self._steps.submit(job, connected.provider, loaded, deadline), deadline)

    async def _intend(
        self, job: Job, event: Event, seconds: float, within: Account | None = None
    ) -> tuple[Job, Deadline]:
        """Write the intent, durably, before anything is sent. A repeated attempt gets a fresh one.

        Raises SlotsTaken or UnsafePlan when the limits of the account `within` which it is to be do not allow it.
        """
        deadline = Deadline(self._clock.boottime() + seconds, self._clock.boottime)
        now = self._clock.now()
        self._check_clock()  # after `now` was read: an intent by a clock that was just set would end too early
        until = now + seconds
        if job.state in {State.UPLOADING, State.SUBMITTING}:
            outcome, within = renew_intent(job, until=until), None  # it has its slot
        else:
            submitted: dict[str, Any] = {"submitted_at": now} if event is Event.SUBMIT_STARTED else {}
            outcome = advance(job, event, now=now, intent_until=until, wake_at=until, **submitted)
        job = await self._record(outcome, within=within)
        self._reached(f"{job.state}: after intent")
        return job, deadline

    async def _attempt(self, job: Job, work: Awaitable[Outcome], deadline: Deadline | None = None) -> Outcome:
        """Do it; turn what goes wrong into a decision.

        What was perhaps sent keeps its intent, until its `deadline` by the clock as it is now: it may have been set.
        """
        try:
            return await work
        except Ambiguous as error:
            intent_until = self._intent_until(job, deadline) if error.sent else None
            return hold(replace(job, intent_until=intent_until), Hold(error.kind, error.message, error.hint))
        except UnknownOutcome as error:
            return self._decide(replace(job, intent_until=self._intent_until(job, deadline)), error)
        except ProviderError as error:
            return self._decide(job, error)

    def _intent_until(self, job: Job, deadline: Deadline | None) -> float | None:
        return job.intent_until if deadline is None else self._clock.now() + deadline.left

    def _check_clock(self) -> None:
        if not self._clock_agrees():
            raise _ClockSet

    def _decide(self, job: Job, error: ProviderError) -> Outcome:
        now = self._clock.now()
        failure = Failure.of(error)
        match decide(error, job.attempts, now, self._jitter()):
            case RetryAt(at, counts):
                failure = replace(failure, hint=hint_for(error, at))
                return stumble(job, failure, until=at, counts=counts, sent=isinstance(error, UnknownOutcome))
            case HoldAccount():
                return self._hold_account(job, failure)
            case GiveUp() if job.state in AT_PROVIDER:  # what may be there has not failed because it cannot be seen
                return hold(job, Hold(failure.kind, failure.message, UNSEEN_HINT), request_id=error.request_id)
            case GiveUp():
                return give_up(job, error, now=now)

    def _hold_account(self, job: Job, failure: Failure) -> Outcome:
        reason = Hold(failure.kind, failure.message, failure.hint)
        self._log.warning(
            "account.held", account=job.account, kind=reason.kind, message=reason.reason, hint=reason.hint
        )
        return replace(
            park(replace(job, intent_until=None), None, failure=failure),
            standing=lambda standing: replace(standing, hold=reason, verified_at=None),
        )

    async def _record(self, outcome: Outcome, *, within: Account | None = None, despite_cancel: bool = False) -> Job:
        """Commit the outcome with its history and its next wake-up, all or nothing. Returns the job as it is now.

        `within` an account's limits, or not at all: then it raises SlotsTaken or UnsafePlan. What an attempt has
        brought is recorded also when a cancel was asked meanwhile; an intent never is.
        """
        at = self._clock.now()
        outcome = outcome.cleaned(self._redact, replica=self._replica)

        async def change(connection: AsyncConnection) -> Outcome | SlotsTaken | UnsafePlan | StaleJob:
            if within is not None and (refusal := await _refusal(connection, outcome.job, within, at)):
                return refusal
            if await outcomes.record(connection, outcome, at=at, cause=CAUSE, going_on=True):
                return outcome
            again = await outcomes.record_despite_cancel(connection, outcome, at, CAUSE) if despite_cancel else None
            return again or StaleJob(f"version {outcome.job.version - 1} of the job is no longer the latest")

        alone = within is not None or outcome.job.state in ENDS
        if alone or not await self._database.write_together(
            _record_all, (outcome, at), patient=outcome.note is None and not outcome.warned
        ):
            recorded = await self._database.write(change)
            if isinstance(recorded, Exception):
                raise recorded
            outcome = recorded
        self._watch.recorded(outcome)
        tell_warning(self._log, outcome)
        if outcome.note is not None:
            tell(self._log, outcome)
            connected = self._connections.get(outcome.job.account)
            tell_model(self._log, outcome, connected.key_fingerprint if connected else None)
        return outcome.job

    def _next_look(self, loaded: jobs.Loaded, now: float) -> float | None:
        """When a resting job is looked at again: when its hold ends, or now and then for a slot."""
        times = [reason.until for reason in (loaded.job.hold, loaded.standing.hold) if reason and reason.until]
        if loaded.job.state is State.READY and loaded.run.current and loaded.run.started_at:
            times.append(now + SLOT_LOOK)
        return min(times, default=None)


async def _record_all(connection: AsyncConnection, steps: Sequence[tuple[Outcome, float]]) -> list[bool]:
    return await outcomes.record_all(connection, steps, cause=CAUSE)


async def _refusal(
    connection: AsyncConnection, job: Job, account: Account, now: float
) -> SlotsTaken | UnsafePlan | None:
    """Why the job may not be submitted now, in the transaction that would write its intent."""
    if why := await jobs.refusal(connection, job, account.max_running_jobs):
        return SlotsTaken(why)
    if account.budget_usd is None:
        return None
    committed = await costs.committed_by(connection, account.name, job.run_id, month_start(now))
    over = over_budget(account, job.estimated_usd, committed)
    return UnsafePlan(over.reason, hint=over.hint) if over else None
