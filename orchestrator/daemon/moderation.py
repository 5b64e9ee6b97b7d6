"""Moderation of a run: which account judges, what is known before one is asked, and the record of each outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.errors import DatasetError
from orchestrator.core.finding import Finding
from orchestrator.core.moderation import NAME_OR_WAIVE, Moderated, Moderation, ModerationProgress, Verdict
from orchestrator.core.run import Run
from orchestrator.daemon.desired import Desired
from orchestrator.providers.base import Connection
from orchestrator.store import moderations
from orchestrator.store.database import Database

if TYPE_CHECKING:
    from orchestrator.dataset import moderating
    from orchestrator.dataset.files import Paths

NAMED = 3  # flagged texts that a run's record names


def expected(
    desired: Desired, before: Run | None, connections: Mapping[str, Connection], now: float
) -> Moderation | None:
    """The record as far as it is known without asking anyone; None where somebody will be asked."""
    options = desired.file.options
    if options.moderation_waived:
        return Moderation(state=Moderated.WAIVED, by="accounts file", at=now, reason=options.moderation_waived)
    if before and before.moderation and before.moderation.state is not Moderated.MISSING:
        return before.moderation
    if list_moderators(options.moderation, connections):
        return None
    return no_moderator(options.moderation, connections, now)


def pending(now: float) -> Moderation:
    """The record of a moderation that is about to begin."""
    return Moderation(state=Moderated.MISSING, by="service", at=now, progress=ModerationProgress())


def list_moderators(chosen: str | None, connections: Mapping[str, Connection]) -> list[Connection]:
    """The chosen account alone, if its server may have the endpoint; without a choice all that are known to have it.

    A named account is asked whatever its provider is called: servers that speak OpenAI's API may have the endpoint.
    """
    if chosen is not None:
        named = connections.get(chosen)
        return [named] if named and named.provider.capabilities.may_moderate else []
    return [connection for connection in connections.values() if connection.provider.capabilities.moderation]


def no_moderator(chosen: str | None, connections: Mapping[str, Connection], now: float) -> Moderation:
    """The record of a run that no account can moderate."""
    reason = "no listed account has a moderation API"
    if chosen is not None and (named := connections.get(chosen)):
        reason = f"account {chosen} is at {named.account.provider}, which has no moderation API"
    return Moderation(state=Moderated.MISSING, by="service", at=now, reason=reason, hint=NAME_OR_WAIVE)


def judged(outcome: moderating.Moderated, account: str, now: float) -> Moderation:
    """The record of chats of which no text is flagged."""
    if not outcome.images:
        return Moderation(state=Moderated.PASSED, by=account, at=now, texts=outcome.texts)
    pictures = "1 picture" if outcome.images == 1 else f"{outcome.images:,} pictures"
    return Moderation(
        state=Moderated.MISSING,
        by=account,
        at=now,
        texts=outcome.texts,
        reason=f"the texts passed, and {pictures} cannot be judged here: only texts are",
        hint='Have the pictures judged elsewhere and record that with `orchestrator waive "REASON"`, or remove them '
        "from the chats.",
    )


def flagged(findings: Sequence[Finding]) -> DatasetError:
    """The error of chats of which some texts are flagged."""
    texts = "1 text" if len(findings) == 1 else f"{len(findings):,} texts"
    return DatasetError(
        f"the moderation flags {texts}",
        hint='Change or remove these texts, or waive the moderation with a reason: `orchestrator waive "REASON"`.',
        findings=findings,
    )


def refused(error: DatasetError, account: str, now: float) -> Moderation:
    """The record of chats of which some texts are flagged: it names the first of them."""
    places = "; ".join(
        f"{found.file}:{found.line} at {found.path}" if found.path else f"{found.file}:{found.line}"
        for found in error.findings[:NAMED]
    )
    more = len(error.findings) - NAMED
    reason = f"{error.message}: {places}" + (f"; and {more:,} more" if more > 0 else "")
    hint = f"`orchestrator check --report FILE` shows each of them. {error.hint}"
    return Moderation(state=Moderated.MISSING, by=account, at=now, reason=reason, hint=hint)


async def recalled(path: Paths, database: Database) -> moderating.Moderated:
    """What is known of the chats at `path` without asking anyone."""
    from orchestrator.dataset import moderating

    return await moderating.recalled(path, VerdictCache(database))


class VerdictCache:
    """Verdicts in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, keys: Sequence[str]) -> Mapping[str, Verdict]:
        async with self._database.read() as connection:
            return await moderations.known(connection, keys)

    async def put(self, verdicts: Mapping[str, Verdict]) -> None:
        await self._database.write(lambda connection: moderations.keep(connection, verdicts))
