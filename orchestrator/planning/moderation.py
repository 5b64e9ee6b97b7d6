"""Moderation of a run: which account judges, what is known before one is asked, and the record of each outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.errors import DatasetError
from orchestrator.core.finding import Finding
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import (
    NOT_MODERATED_HINT,
    Moderation,
    ModerationProgress,
    ModerationStatus,
    ModerationVerdict,
)
from orchestrator.core.text import format_count, format_list
from orchestrator.planning.desired_state import DesiredState
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import moderations

if TYPE_CHECKING:
    from orchestrator.dataset.moderation import runner
    from orchestrator.dataset.read.source_files import DatasetPaths

MAX_NAMED_TEXTS = 3  # flagged texts that a run's record names


def find_known_moderation(
    desired: DesiredState, previous_run: Run | None, connections: Mapping[str, ProviderConnection], now: float
) -> Moderation | None:
    """The record as far as it is known without asking anyone; None where somebody will be asked."""
    options = desired.accounts_file.options
    if options.moderation_waived:
        return Moderation(state=ModerationStatus.WAIVED, by="accounts file", at=now, reason=options.moderation_waived)
    if previous_run and previous_run.moderation and previous_run.moderation.state is not ModerationStatus.MISSING:
        return previous_run.moderation
    if list_moderators(options.moderation, connections):
        return None
    return build_unavailable_moderation(options.moderation, connections, now)


def build_pending_moderation(now: float) -> Moderation:
    """The record of a moderation that is about to begin."""
    return Moderation(state=ModerationStatus.MISSING, by="service", at=now, progress=ModerationProgress())


def list_moderators(
    account_name: str | None, connections: Mapping[str, ProviderConnection]
) -> list[ProviderConnection]:
    """The chosen account alone, if its server may have the endpoint; without a choice all that are known to have it.

    A named account is asked whatever its provider is called: servers that speak OpenAI's API may have the endpoint.
    """
    if account_name is not None:
        named = connections.get(account_name)
        return [named] if named and named.provider.capabilities.may_have_moderation else []
    return [connection for connection in connections.values() if connection.provider.capabilities.moderation]


def build_unavailable_moderation(
    account_name: str | None, connections: Mapping[str, ProviderConnection], now: float
) -> Moderation:
    """The record of a run that no account can moderate."""
    reason = "no listed account has a moderation API"
    if account_name is not None and (named := connections.get(account_name)):
        reason = f"account {account_name} is at {named.account.provider}, which has no moderation API"
    return Moderation(state=ModerationStatus.MISSING, by="service", at=now, reason=reason, hint=NOT_MODERATED_HINT)


def build_finished_moderation(outcome: runner.ModerationResult, account: str, now: float) -> Moderation:
    """The record of chats of which no text is flagged."""
    if not outcome.images:
        return Moderation(state=ModerationStatus.PASSED, by=account, at=now, texts=outcome.texts)
    pictures = format_count(outcome.images, "picture")
    return Moderation(
        state=ModerationStatus.MISSING,
        by=account,
        at=now,
        texts=outcome.texts,
        reason=f"the texts passed, and {pictures} cannot be judged here: only texts are",
        hint='Have the pictures judged elsewhere and record that with `orchestrator waive "REASON"`, or remove them '
        "from the chats.",
    )


def build_flagged_error(findings: Sequence[Finding]) -> DatasetError:
    """The error of chats of which some texts are flagged."""
    texts = format_count(len(findings), "text")
    return DatasetError(
        f"the moderation flags {texts}",
        hint='Change or remove these texts, or waive the moderation with a reason: `orchestrator waive "REASON"`.',
        findings=findings,
    )


def build_flagged_moderation(error: DatasetError, account: str, now: float) -> Moderation:
    """The record of chats of which some texts are flagged: it names the first of them."""
    places = [
        f"{finding.file}:{finding.line} at {finding.path}" if finding.path else f"{finding.file}:{finding.line}"
        for finding in error.findings[:MAX_NAMED_TEXTS]
    ]
    reason = f"{error.message}: {format_list(places, total=len(error.findings), separator='; ')}"
    hint = f"`orchestrator check --report FILE` shows each of them. {error.hint}"
    return Moderation(state=ModerationStatus.MISSING, by=account, at=now, reason=reason, hint=hint)


async def load_cached_moderation(path: DatasetPaths, database: Database) -> runner.ModerationResult:
    """What is known of the chats at `path` without asking anyone."""
    from orchestrator.dataset.moderation import runner

    return await runner.load_cached_result(path, VerdictCache(database))


class VerdictCache:
    """Verdicts in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, keys: Sequence[str]) -> Mapping[str, ModerationVerdict]:
        async with self._database.read() as connection:
            return await moderations.get_verdicts(connection, keys)

    async def put(self, verdicts: Mapping[str, ModerationVerdict]) -> None:
        await self._database.write(lambda tx: moderations.save_verdicts(tx, verdicts))
