"""Group commit: changes that arrive while a commit is under way are written together in the next transaction."""

# Theory of operation
#
# A durable commit costs the same whatever is in it: on SQLite one fsync, on PostgreSQL one fsync, two round trips and
# the advisory write lock. With thousands of jobs, one commit for each step would limit the service. So there is one
# writer task per process. It takes everything that is pending, runs it in one transaction, commits, and only then
# resolves the callers' futures. While it commits, new changes pile up for the next round: the batches grow with the
# load by themselves, and a lone change waits for nobody.
#
#     submit()         -> _pending -> _commit_pending(): one task, runs while anything is pending
#     submit_batched() -> _pending       -> _commit_batch(): BEGIN, members, Transaction.flush, COMMIT
#     transaction()    -> waits for its turn, then has a transaction of its own between two batches
#
# This is no aio.Batcher, although both gather items: here each caller gets a result of its own, only after the
# commit, and a failed batch is run again member by member.
#
# What each part guarantees, and what would break without it:
#
# * A future is resolved after the commit, never before. A caller sends its paid request right after an intent is
#   recorded; resolved earlier, a crash between the two would lose the intent and a second job would be created.
# * All members of a batch share one Transaction. Events and wake-ups of all of them are written by its flush, in one
#   statement each, in the same commit as the changes (see transaction.py).
# * Members run one after another, never concurrently, and before the next batch begins. What a member has read (a
#   free slot, the remaining budget) stays true until the commit. On PostgreSQL the advisory lock extends this to all
#   replicas.
# * When a member fails, the whole transaction is rolled back and every member is run again alone, so that an error
#   reaches only its own caller. A member may therefore run twice: it must touch nothing but its transaction. If the
#   connection itself was lost, running again would fail as often as there are members; then all get the error.
# * Cancelling a caller does not withdraw its change: the change may be half executed, or committed already.
# * A deferrable change does not set `_urgent`: the writer waits up to MAX_DELAY_SECONDS for company. Poll results are
#   deferrable, because nobody waits for them; intents are not.
# * `close` waits for both: otherwise the process would give up its lock on the SQLite file while it still writes.
# * `transaction()` and the batches exclude each other by `_turn`. Without it the second would wait for the database's
#   lock, which on SQLite is held by the same process and is given up only after BUSY_TIMEOUT_MILLISECONDS.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

from orchestrator.store.db.engine import DatabaseEngine
from orchestrator.store.db.transaction import EnqueueWakeUps, Transaction

MAX_DELAY_SECONDS: Final = 0.05
"""How long deferrable changes wait for others before they are committed by themselves."""

T = TypeVar("T")
K = TypeVar("K")
Change = Callable[[Transaction], Awaitable[T]]
"""Makes one change. It may be run twice, see above."""
BatchChange = Callable[[Transaction, Sequence[K]], Awaitable[Sequence[T]]]
"""Makes the changes of several items with as few statements as possible, and returns one result for each item."""


class _PendingChange(NamedTuple):
    change: BatchChange[Any, Any]
    item: Any
    future: asyncio.Future[Any]


class GroupCommitWriter:
    """Runs changes one after another, all that are pending in one transaction; equal batch changes in one call."""

    def __init__(self, engine: DatabaseEngine, enqueue_wake_ups: EnqueueWakeUps | None = None) -> None:
        self._engine = engine
        self._enqueue_wake_ups = enqueue_wake_ups
        self._pending: list[_PendingChange] = []
        self._urgent = asyncio.Event()
        """Set when the next batch must not wait for deferrable changes to come together."""
        self._turn = asyncio.Lock()
        """Held by the transaction under way. FIFO: an own transaction comes right after the current batch."""
        self._task: asyncio.Task[None] | None = None
        self.committed = asyncio.Event()
        """Set at each commit; a reader that waits for the next one clears it."""

    async def submit(self, change: Change[T]) -> T:
        """Return the change's result once it is committed. Cancelling the caller does not take the change back."""
        return await self.submit_batched(_apply_changes, change)

    async def submit_batched(self, change: BatchChange[K, T], item: K, *, deferrable: bool = False) -> T:
        """Return the item's result once it is committed. One call of `change` gets all pending items of that change.

        A `deferrable` item causes no commit of its own for up to MAX_DELAY_SECONDS.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append(_PendingChange(change, item, future))
        if not deferrable:
            self._urgent.set()
        if self._task is None:
            self._task = asyncio.create_task(self._commit_pending(), name="writer")
        return await future

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction of the caller's own. It is committed when the block ends, rolled back when it raises."""
        async with self._turn:
            try:
                async with self._begin() as tx:
                    yield tx
            except asyncio.CancelledError:
                self.committed.set()  # it may have been committed; a reader that finds nothing new waits again
                raise
        self.committed.set()

    async def close(self) -> None:
        """Wait until everything pending is committed, and no transaction is under way."""
        while True:
            async with self._turn:  # FIFO: every transaction that was requested before has ended now
                if self._task is None:
                    return
            await self._task

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Transaction]:
        async with self._engine.write() as connection:
            tx = Transaction(connection)
            yield tx
            await tx.flush(self._enqueue_wake_ups)

    async def _commit_pending(self) -> None:
        try:
            while self._pending:
                with suppress(TimeoutError):
                    async with asyncio.timeout(MAX_DELAY_SECONDS):
                        await self._urgent.wait()
                async with self._turn:
                    self._urgent.clear()
                    batch, self._pending = self._pending, []
                    if not await self._commit_batch(batch):
                        for single in batch:
                            await self._commit_batch([single])
        finally:
            self._task = None

    async def _commit_batch(self, batch: list[_PendingChange]) -> bool:
        """Commit the batch and resolve its futures. False: one of several members failed, nothing was resolved."""
        begun = False
        try:
            async with self._begin() as tx:
                begun = True
                results = await _run_batch(tx, batch)
        except Exception as error:  # noqa: BLE001 - handed to the callers
            if len(batch) > 1 and begun and not _is_disconnect(error):
                return False
            for pending in batch:
                _resolve(pending.future, error=error)
            return True
        self.committed.set()
        for pending, result in zip(batch, results, strict=True):
            _resolve(pending.future, result=result)
        return True


async def _apply_changes(tx: Transaction, changes: Sequence[Change[Any]]) -> list[Any]:
    return [await change(tx) for change in changes]


async def _run_batch(tx: Transaction, batch: list[_PendingChange]) -> list[Any]:
    """Call each change function once with all its items. Returns the results in the order of the batch."""
    positions: dict[BatchChange[Any, Any], list[int]] = {}
    for position, pending in enumerate(batch):
        positions.setdefault(pending.change, []).append(position)
    results: dict[int, Any] = {}
    for change, own in positions.items():
        results |= zip(own, await change(tx, [batch[position].item for position in own]), strict=True)
    return [results[position] for position in range(len(batch))]


def _is_disconnect(error: Exception) -> bool:
    """Whether the connection was lost, so that running the members one by one is pointless."""
    return isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _resolve(future: asyncio.Future[Any], *, result: Any = None, error: Exception | None = None) -> None:
    if future.done():  # the caller was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
