"""Moderates the chats of one run in the background, until they have passed or need an operator."""

# Theory of operation
#
# `request` starts one task for the run. Every RECORD_CHECK_SECONDS the task reads the run's moderation record and
# acts:
#
#   * a record with `progress` and without `retry_at` is due now, and so is one whose `retry_at` has passed
#   * a record without `progress` waits for an operator; `orchestrator release` adds a `progress` again
#   * a record that is passed, waived or gone ends the task
#
# So every wait is in the database and not in this process: a release by another process takes effect, a restart
# continues, and another replica takes over when this one ends. `claim_moderation` writes the replica's name into the
# record, so that two replicas never moderate the same run at the same time.
#
# An attempt uses one account after another until one has judged all texts. Verdicts are stored as they arrive and are
# never requested twice, so an interrupted attempt costs no work. While an account judges, a second task stores the
# progress; it ends when the record was waived or the run was replaced, and then the attempt is cancelled.
#
# Several runs may be moderated by one process, each by a worker of its own (moderation_pool.py). A worker acts only
# while it holds `turn`, which they share: the limits of a moderation API belong to the accounts.
#
# The canonical dataset is judged and not the chats, because it is what is sent: the chats may change during the hours
# that a moderation takes.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, cast

from structlog.stdlib import BoundLogger

from orchestrator.control.moderation import claim_moderation, save_moderation
from orchestrator.core.account import AccountIdentity
from orchestrator.core.clock import Clock
from orchestrator.core.errors import AccountError, DatabaseUnavailable, DatasetError, ProviderError, TemporaryError
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.retry_policy import backoff
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import (
    Moderation,
    ModerationProgress,
    ModerationStatus,
    ModerationVerdict,
)
from orchestrator.core.structs import Struct, replace
from orchestrator.planning.desired_state import DesiredState
from orchestrator.planning.moderation import (
    VerdictCache,
    build_failed_moderation,
    build_finished_moderation,
    build_flagged_error,
    build_flagged_moderation,
    build_unavailable_moderation,
    list_moderators,
    load_cached_moderation,
)
from orchestrator.providers.base import ModerationProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts

RECORD_CHECK_SECONDS: Final = 2.0  # how soon an operator's release or waiver takes effect
PROGRESS_SAVE_SECONDS: Final = 5.0  # how often the progress is stored
PROGRESS_LOG_SECONDS: Final = 60.0
MAX_REQUEST_ATTEMPTS: Final = 3  # of one request, before the next account is used

Identify = Callable[[ProviderConnection], Awaitable[tuple[ProviderConnection, AccountIdentity]]]
"""Asks the provider who owns the key. Reads a rejected key again from its reference: it may have been replaced."""

ModerationProgressCallback = Callable[[int, int], None]
"""Called with the number of judged texts and the number of all texts."""


class _Attempt(Struct):
    """One attempt of a run's moderation."""

    desired: DesiredState
    run_id: RunId
    record: Moderation  # with the progress so far
    has_verdicts: bool = False  # whether an account has judged anything in this attempt
    logged_at: float | None = None  # when the progress was logged last, on the boot clock


class ModerationWorker:
    """Moderates the run that was requested last. `flagged_error` names its flagged texts, once they are known."""

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
        turn: asyncio.Lock | None = None,
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
        self._turn = turn or asyncio.Lock()
        self._requested_key: object = None  # run and chosen account of the task
        self._task: asyncio.Task[None] | None = None
        self._cancelled_tasks: set[asyncio.Task[None]] = set()  # `stop` waits for them
        self._requested = asyncio.Event()  # ends the pause of the task
        self._needs_operator = asyncio.Event()

    def request(self, desired: DesiredState, run: Run) -> None:
        """Moderate the run now if its moderation is open. Cancels the moderation of another run."""
        key = (run.id, desired.run.options.moderation)
        is_open = run.moderation is not None and run.moderation.state is ModerationStatus.MISSING
        if is_open and key == self._requested_key and self._task and not self._task.done():
            self._requested.set()
            return
        self.cancel()
        self.flagged_error = None
        self._needs_operator.clear()
        if is_open:
            self._requested_key = key
            self._requested.set()
            self._task = asyncio.create_task(self._run(desired, run.id), name="moderation")

    async def wait(self) -> None:
        """Wait until the moderation is finished or needs an operator."""
        if self._task is None:
            return
        operator = asyncio.create_task(self._needs_operator.wait())
        try:
            await asyncio.wait({self._task, operator}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            operator.cancel()

    async def stop(self) -> None:
        """Cancel the moderation and wait until it has ended. The verdicts so far are stored."""
        self.cancel()
        await asyncio.gather(*self._cancelled_tasks, return_exceptions=True)

    def cancel(self) -> None:
        """Cancel the moderation without waiting for its end."""
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
                async with self._turn:
                    is_open = await self._step(desired, run_id)
                if not is_open:
                    return
                failures = 0
            except DatabaseUnavailable:
                pass  # the outage is logged already
            except Exception:  # noqa: BLE001 - an internal error must not hold the run for ever
                self._log.exception("moderation.internal_error")
                pause, failures = max(RECORD_CHECK_SECONDS, backoff(failures, self._jitter())), failures + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._requested.wait()

    async def _step(self, desired: DesiredState, run_id: RunId) -> bool:
        """Do what the record requires. Return False when the moderation is over."""
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
        """Log why the run waits: for its next attempt, or for an operator."""
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
        """Return the record after an account has judged all texts, or after all accounts have failed.

        Returns None when the moderation was waived or the run was replaced meanwhile.
        """
        chosen_account = attempt.desired.run.options.moderation
        moderators = list_moderators(chosen_account, self._connections)
        if not moderators:
            return build_unavailable_moderation(chosen_account, self._connections, self._clock.now())
        errors = await self._find_held(moderators)
        for connection in moderators:
            name = connection.account.name
            if name in errors:
                continue
            try:
                return await self._moderate_while_open(attempt, connection)
            except ProviderError as error:
                errors[name] = error
                self._log.warning("moderation.failed", account=name, error=error)
            except DatasetError as error:
                self.flagged_error = error
                self._log.error("moderation.flagged", account=name, error=error)
                return build_flagged_moderation(error, name, self._clock.now())
        return build_failed_moderation(
            attempt.record, errors, has_verdicts=attempt.has_verdicts, now=self._clock.now(), jitter=self._jitter()
        )

    async def _find_held(self, moderators: Sequence[ProviderConnection]) -> dict[str, ProviderError]:
        """Return an error for each account for which nothing may be sent now, by name."""
        async with self._database.read() as connection:
            states = await accounts.get_many(connection, [each.account.name for each in moderators])
        now = self._clock.now()
        return {
            name: AccountError(f"it is on hold: {hold.reason}", hint=hold.hint, account=name)
            for name, state in states.items()
            if (hold := state.find_blocking_hold(now)) is not None
        }

    async def _moderate_while_open(self, attempt: _Attempt, connection: ProviderConnection) -> Moderation | None:
        """Return this account's record; None when the moderation was waived or the run was replaced meanwhile."""
        moderate = asyncio.create_task(self._moderate(attempt, connection))
        save = asyncio.create_task(self._save_progress(attempt))
        try:
            await asyncio.wait({moderate, save}, return_when=asyncio.FIRST_COMPLETED)
            if moderate.done():
                return moderate.result()
            save.result()  # raises the error that ended it
            return None
        finally:
            moderate.cancel()
            save.cancel()
            await asyncio.gather(moderate, save, return_exceptions=True)

    async def _save_progress(self, attempt: _Attempt) -> None:
        """Store the progress every PROGRESS_SAVE_SECONDS. Return when the moderation is not open any more."""
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

        def log_retry(error: TemporaryError, pause: float) -> None:
            self._log.warning(
                "moderation.request_retried", account=account, error=error, pause_seconds=round(pause, 1)
            )

        async def judge(texts: Sequence[str]) -> Sequence[ModerationVerdict]:
            verdicts = await moderator.moderate(texts)
            attempt.has_verdicts = True
            return verdicts

        connection, _ = await self._identify(connection)
        moderator = cast(ModerationProvider, connection.provider)
        outcome = await moderate_dataset(
            [part.path for part in (dataset.training, dataset.validation) if part],
            judge,
            VerdictCache(self._database),
            clock=ModerationClock(now=self._clock.boottime, sleep=asyncio.sleep),
            limits=ModerationLimits(tokens_per_minute=self._tokens_per_minute, max_attempts=MAX_REQUEST_ATTEMPTS),
            progress=lambda done, total, left: self._update_progress(attempt, done, total, left),
            on_retry=log_retry,
        )
        self._log.info("moderation.finished", account=account, texts=outcome.texts, sent=outcome.sent)
        if outcome.findings:
            # The findings name lines of the canonical dataset; an operator needs the files that they came from.
            in_chats = await load_cached_moderation(attempt.desired.run.chat_paths, self._database)
            raise build_flagged_error(in_chats.findings or outcome.findings)
        return build_finished_moderation(outcome, account, self._clock.now())

    def _update_progress(self, attempt: _Attempt, done: int, total: int, left: float) -> None:
        """Keep the progress for the record. Report each change to `on_progress`, and one a minute to the log."""
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
