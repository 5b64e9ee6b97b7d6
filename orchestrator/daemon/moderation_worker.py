"""ModerationWorker: moderates the current run beside the ticks, until its chats have passed or need a person.

How it works: `request` starts one task for the run. The task reads the run's record every two seconds and acts on
it: a record with `progress` is due now or at its `retry_at`; one without waits for an operator, whose `release` gives
it a `progress` again. So every wait is in the database: a release by another process is noticed, a restart continues,
and another replica takes over when this one ends. Verdicts are stored as they come, and none is asked for twice.

What is judged is the canonical dataset, because that is what is sent: the chats may change during these hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, cast

from structlog.stdlib import BoundLogger

from orchestrator.control.moderation import claim_moderation, save_moderation
from orchestrator.core.account import AccountIdentity
from orchestrator.core.clock import Clock
from orchestrator.core.errors import DatabaseUnavailable, DatasetError, ProviderError, TemporaryError
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.retry_policy import MAX_RETRY_AFTER_SECONDS, backoff
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import (
    Moderation,
    ModerationProgress,
    ModerationStatus,
    ModerationVerdict,
    get_moderation_hint,
)
from orchestrator.planning.desired_state import DesiredState
from orchestrator.planning.moderation import (
    VerdictCache,
    build_finished_moderation,
    build_flagged_error,
    build_flagged_moderation,
    build_unavailable_moderation,
    list_moderators,
    load_cached_moderation,
)
from orchestrator.providers.base import ModerationProvider, ProviderConnection
from orchestrator.store.db.database import Database

RECORD_CHECK_SECONDS: Final = 2.0  # between two looks at the record, while there is nothing to do
PROGRESS_SAVE_SECONDS: Final = 5.0  # between two notes of how far it is
PROGRESS_LOG_SECONDS: Final = 60.0
MAX_REQUEST_ATTEMPTS: Final = 3  # of one request, before other accounts are asked

Identify = Callable[[ProviderConnection], Awaitable[tuple[ProviderConnection, AccountIdentity]]]
"""Asks whose key it is; a refused key may have been changed, and is read again."""

ModerationProgressCallback = Callable[[int, int], None]
"""Takes how many texts are judged, and of how many."""


@dataclass(slots=True)
class _Attempt:
    """One attempt of a run's moderation."""

    desired: DesiredState
    run_id: RunId
    record: Moderation
    has_verdicts: bool = False  # whether an account judged anything
    logged_at: float | None = None


class ModerationWorker:
    """Moderates the run that was requested last. `flagged` is what was found in its chats, once that is known."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        identify: Identify,
        replica: str,
        tokens_per_minute: int,
        clock: Clock,
        jitter: Callable[[], float],
        log: BoundLogger,
    ) -> None:
        self.flagged_error: DatasetError | None = None
        self.on_passed: Callable[[], None] = _do_nothing  # called when jobs may continue
        self.on_progress: ModerationProgressCallback | None = None
        self._database = database
        self._connections = connections
        self._identify = identify
        self._replica = replica
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._jitter = jitter
        self._log = log
        self._requested_key: object = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled_tasks: set[asyncio.Task[None]] = set()
        self._requested = asyncio.Event()
        self._needs_operator = asyncio.Event()

    def request(self, desired: DesiredState, run: Run) -> None:
        """Moderate the run now if that is open; what was under way for another run ends."""
        key = (run.id, desired.accounts_file.options.moderation)
        is_open = run.moderation is not None and run.moderation.state is ModerationStatus.MISSING
        if is_open and key == self._requested_key and self._task and not self._task.done():
            self._requested.set()
            return
        self._cancel()
        self.flagged_error = None
        self._needs_operator.clear()
        if is_open:
            self._requested_key = key
            self._requested.set()
            self._task = asyncio.create_task(self._run(desired, run.id), name="moderation")

    async def wait(self) -> None:
        """Wait while the moderation continues by itself: until it is over, or needs a person."""
        if self._task is None:
            return
        person = asyncio.create_task(self._needs_operator.wait())
        try:
            await asyncio.wait({self._task, person}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            person.cancel()

    async def stop(self) -> None:
        """End at once; the verdicts so far are stored."""
        self._cancel()
        await asyncio.gather(*self._cancelled_tasks, return_exceptions=True)

    def _cancel(self) -> None:
        if self._task and not self._task.done():
            self._task.cancel()
            self._cancelled_tasks.add(self._task)
            self._task.add_done_callback(self._cancelled_tasks.discard)
        self._task = None

    async def _run(self, desired: DesiredState, run_id: RunId) -> None:
        failures = 0
        while True:
            pause = RECORD_CHECK_SECONDS
            try:
                if not await self._step(desired, run_id):
                    return
                failures = 0
            except DatabaseUnavailable:
                pass  # the outage is logged already
            except Exception:  # noqa: BLE001 - a fault of ours must not hold the run for ever
                self._log.exception("moderation.internal_error")
                pause, failures = max(RECORD_CHECK_SECONDS, backoff(failures, self._jitter())), failures + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._requested.wait()

    async def _step(self, desired: DesiredState, run_id: RunId) -> bool:
        """Do what the record asks for. False when the moderation is over."""
        at_once = self._requested.is_set()
        self._requested.clear()
        now = self._clock.now()
        record = await claim_moderation(self._database, run_id, replica=self._replica, now=now, at_once=at_once)
        if record is None:
            return False
        if record.progress is None:
            self._needs_operator.set()
            return True
        if record.progress.replica != self._replica or record.progress.retry_at is not None:
            return True
        self._needs_operator.clear()
        after = await self._moderate_with_each_account(_Attempt(desired, run_id, record))
        if after is None or not await save_moderation(self._database, run_id, after, now=self._clock.now()):
            return False
        if after.state is ModerationStatus.PASSED:
            self.on_passed()
            return False
        self._log_hold(after)
        if after.progress is None:
            self._needs_operator.set()
        return True

    def _log_hold(self, record: Moderation) -> None:
        """Why the run waits: for its next attempt, or for a person."""
        if (hold := record.hold) is None:
            return
        if record.progress is None or record.progress.retry_at is None:
            self._log.warning("run.held", kind=hold.kind, message=hold.reason, hint=hold.hint)
            return
        self._log.warning(
            "moderation.retry_scheduled",
            attempts=record.progress.attempts,
            next_attempt=datetime.fromtimestamp(record.progress.retry_at, UTC).isoformat(timespec="seconds"),
            message=hold.reason,
        )

    async def _moderate_with_each_account(self, attempt: _Attempt) -> Moderation | None:
        """The record after every account was asked until one has judged all; None when it is not wanted any more."""
        chosen = attempt.desired.accounts_file.options.moderation
        able = list_moderators(chosen, self._connections)
        if not able:
            return build_unavailable_moderation(chosen, self._connections, self._clock.now())
        errors: dict[str, ProviderError] = {}
        for connection in able:
            name = connection.account.name
            try:
                return await self._moderate_while_open(attempt, connection)
            except ProviderError as error:
                errors[name] = error
                self._log.warning("moderation.failed", account=name, error=error)
            except DatasetError as error:
                self.flagged_error = error
                self._log.error("moderation.flagged", account=name, error=error)
                return build_flagged_moderation(error, name, self._clock.now())
        return self._build_failed_record(attempt, errors)

    def _build_failed_record(self, attempt: _Attempt, errors: Mapping[str, ProviderError]) -> Moderation:
        """The record when no account has judged all: asked again later where one of them may answer then."""
        now = self._clock.now()
        reason = "; ".join(f"account {name}: {error.kind}: {error.message}" for name, error in errors.items())
        temporary = [error for error in errors.values() if isinstance(error, TemporaryError)]
        hint = get_moderation_hint(temporary[0] if temporary else next(iter(errors.values())))
        progress = None
        if temporary:
            before = attempt.record.progress or ModerationProgress()
            attempts = 0 if attempt.has_verdicts else before.attempts
            wish = min(min(error.retry_after or 0.0 for error in temporary), MAX_RETRY_AFTER_SECONDS)
            delay = max(wish, backoff(attempts, self._jitter()))
            progress = replace(before, attempts=attempts + 1, retry_at=now + delay, finish_at=None)
        return replace(attempt.record, by=", ".join(errors), at=now, reason=reason, hint=hint, progress=progress)

    async def _moderate_while_open(self, attempt: _Attempt, connection: ProviderConnection) -> Moderation | None:
        """What this account says; None when somebody waived the moderation meanwhile, or the run is another."""
        asking = asyncio.create_task(self._moderate(attempt, connection))
        saving = asyncio.create_task(self._save_progress(attempt))
        try:
            await asyncio.wait({asking, saving}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            saving.result()  # raises what went wrong with it
            return None
        finally:
            asking.cancel()
            saving.cancel()
            await asyncio.gather(asking, saving, return_exceptions=True)

    async def _save_progress(self, attempt: _Attempt) -> None:
        """Store how far it is, every few seconds. Ends when the moderation is not wanted any more."""
        while True:
            await asyncio.sleep(PROGRESS_SAVE_SECONDS)
            now = self._clock.now()
            with suppress(DatabaseUnavailable):
                if not await save_moderation(self._database, attempt.run_id, attempt.record, now=now):
                    return

    async def _moderate(self, attempt: _Attempt, connection: ProviderConnection) -> Moderation:
        from orchestrator.dataset.moderation.batches import ModerationLimits
        from orchestrator.dataset.moderation.runner import ModerationClock, moderate_dataset

        account = connection.account.name
        dataset = attempt.desired.dataset
        progress = attempt.record.progress or ModerationProgress()
        attempt.record = Moderation(
            state=ModerationStatus.MISSING,
            by=account,
            at=self._clock.now(),
            progress=replace(progress, retry_at=None),
        )

        def retrying(error: TemporaryError, pause: float) -> None:
            self._log.warning(
                "moderation.request_retried", account=account, error=error, pause_seconds=round(pause, 1)
            )

        async def ask(texts: Sequence[str]) -> Sequence[ModerationVerdict]:
            verdicts = await moderator.moderate(texts)
            attempt.has_verdicts = True
            return verdicts

        connection, _ = await self._identify(connection)
        moderator = cast(ModerationProvider, connection.provider)
        outcome = await moderate_dataset(
            [part.path for part in (dataset.training, dataset.validation) if part],
            ask,
            VerdictCache(self._database),
            clock=ModerationClock(now=self._clock.boottime, sleep=asyncio.sleep),
            limits=ModerationLimits(tokens_per_minute=self._tokens_per_minute, max_attempts=MAX_REQUEST_ATTEMPTS),
            progress=lambda done, total, left: self._update_progress(attempt, done, total, left),
            on_retry=retrying,
        )
        self._log.info("moderation.finished", account=account, texts=outcome.texts, sent=outcome.sent)
        if outcome.findings:
            places = await load_cached_moderation(attempt.desired.accounts_file.chat_paths, self._database)
            raise build_flagged_error(places.findings or outcome.findings)
        return build_finished_moderation(outcome, account, self._clock.now())

    def _update_progress(self, attempt: _Attempt, done: int, total: int, left: float) -> None:
        """Keep how far it is for the record, and tell it: to the terminal each time, to the log once a minute."""
        now, record = self._clock.now(), attempt.record
        progress = replace(record.progress or ModerationProgress(), judged=done, total=total, finish_at=now + left)
        attempt.record = replace(record, progress=progress)
        if self.on_progress:
            self.on_progress(done, total)
        at = self._clock.boottime()
        if attempt.logged_at is None or at - attempt.logged_at >= PROGRESS_LOG_SECONDS or done == total:
            attempt.logged_at = at
            self._log.info(
                "moderation.progressed", account=record.by, done=done, total=total, seconds_left=round(left)
            )


def _do_nothing() -> None:
    pass
