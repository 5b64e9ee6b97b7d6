"""Moderation of a run: which account judges, what is already known, and what follows from the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from structlog.stdlib import BoundLogger

from orchestrator.core.clock import Clock
from orchestrator.core.errors import AccountError, DatasetError, ProviderError
from orchestrator.core.moderation import Moderated, Moderation, Verdict
from orchestrator.core.run import Run
from orchestrator.daemon.desired import Desired
from orchestrator.providers.base import Connection, Moderator
from orchestrator.store import moderations
from orchestrator.store.database import Database

if TYPE_CHECKING:
    from orchestrator.dataset import moderating
    from orchestrator.dataset.checking import Progress
    from orchestrator.dataset.files import Paths


async def moderated(
    desired: Desired,
    before: Run | None,
    connections: Mapping[str, Connection],
    database: Database,
    *,
    tokens_per_minute: int,
    clock: Clock,
    log: BoundLogger,
    progress: Progress | None = None,
) -> Moderation:
    """The run's moderation record. Raises DatasetError when a text is flagged.

    `before` is the same run as it was, if it was: what passed or was waived is not asked for again.
    """

    def tell(done: int, total: int) -> None:
        log.info("moderation.progress", done=done, total=total)
        if progress:
            progress(done, total)

    if known := expected(desired, before, connections, clock.now()):
        return known
    reason = ""
    for connection in _able(desired.file.options.moderation, connections):
        name = connection.account.name
        try:
            return await _ask(desired, connection, database, tokens_per_minute, clock, log, tell)
        except ProviderError as error:
            reason = f"account {name}: {error.kind}: {error.message}"
            log.warning("moderation.failed", account=name, error=error)
            if not isinstance(error, AccountError):
                break
    return Moderation(state=Moderated.MISSING, by="service", at=clock.now(), reason=reason)


def expected(
    desired: Desired, before: Run | None, connections: Mapping[str, Connection], now: float
) -> Moderation | None:
    """The record as far as it is known without asking anyone; None where somebody will be asked."""
    options = desired.file.options
    if options.moderation_waived:
        return Moderation(state=Moderated.WAIVED, by="accounts file", at=now, reason=options.moderation_waived)
    if before and before.moderation and before.moderation.state is not Moderated.MISSING:
        return before.moderation
    if _able(options.moderation, connections):
        return None
    return Moderation(state=Moderated.MISSING, by="service", at=now, reason="no listed account has a moderation API")


def _able(chosen: str | None, connections: Mapping[str, Connection]) -> list[Connection]:
    """The account to ask and those to turn to when its key is refused: the chosen one only, or the first that can."""
    return [
        connection
        for name, connection in connections.items()
        if connection.provider.capabilities.moderation and chosen in {None, name}
    ]


async def _ask(
    desired: Desired,
    connection: Connection,
    database: Database,
    tokens_per_minute: int,
    clock: Clock,
    log: BoundLogger,
    tell: Progress,
) -> Moderation:
    from orchestrator.dataset.moderating import Time, moderate  # what reads chats takes megabytes
    from orchestrator.dataset.moderation import Limits

    await connection.identity()
    outcome = await moderate(
        desired.file.dataset,
        cast(Moderator, connection.provider).moderate,
        _Cache(database),
        time=Time(clock=clock.boottime, pause=asyncio.sleep),
        limits=Limits(tokens_per_minute=tokens_per_minute),
        progress=tell,
    )
    log.info("moderation.done", account=connection.account.name, texts=outcome.texts, sent=outcome.sent)
    if outcome.findings:
        raise DatasetError(
            f"the moderation flags {len(outcome.findings)} texts",
            hint="Change or remove these texts, or waive the moderation with a reason.",
            findings=outcome.findings,
        )
    state, reason = Moderated.PASSED, ""
    if outcome.images:
        state, reason = Moderated.MISSING, f"{outcome.images} images cannot be judged here"
    return Moderation(state=state, by=connection.account.name, at=clock.now(), texts=outcome.texts, reason=reason)


async def recalled(path: Paths, database: Database) -> moderating.Moderated:
    """What is known of the chats at `path` without asking anyone."""
    from orchestrator.dataset import moderating

    return await moderating.recalled(path, _Cache(database))


class _Cache:
    """Verdicts in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, keys: Sequence[str]) -> Mapping[str, Verdict]:
        async with self._database.read() as connection:
            return await moderations.known(connection, keys)

    async def put(self, verdicts: Mapping[str, Verdict]) -> None:
        await self._database.write(lambda connection: moderations.keep(connection, verdicts))
