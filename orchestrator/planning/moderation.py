"""The moderation of a run: which accounts can judge it, and the record of each possible result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.errors import DatasetError, ProviderError, TemporaryError
from orchestrator.core.finding import Finding
from orchestrator.core.jobs.retry_policy import MAX_RETRY_AFTER_SECONDS, backoff
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import (
    NOT_MODERATED_HINT,
    Moderation,
    ModerationProgress,
    ModerationStatus,
    ModerationVerdict,
    get_moderation_hint,
)
from orchestrator.core.structs import replace
from orchestrator.core.text import format_count, format_list
from orchestrator.planning.desired_state import DesiredState
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import moderations

if TYPE_CHECKING:
    from orchestrator.dataset.moderation import runner
    from orchestrator.dataset.read.source_files import DatasetPaths

MAX_NAMED_TEXTS = 3  # flagged texts that the reason of a hold names: it must stay readable


def find_known_moderation(
    desired: DesiredState, previous_run: Run | None, connections: Mapping[str, ProviderConnection], now: float
) -> Moderation | None:
    """Return the record if it is known without a request to a provider; None if a moderation is needed."""
    options = desired.run.options
    if options.moderation_waived:
        return Moderation(state=ModerationStatus.WAIVED, by="accounts file", at=now, reason=options.moderation_waived)
    if previous_run and previous_run.moderation and previous_run.moderation.state is not ModerationStatus.MISSING:
        return previous_run.moderation
    if list_moderators(options.moderation, connections):
        return None
    return build_unavailable_moderation(options.moderation, connections, now)


def build_pending_moderation(now: float) -> Moderation:
    """Return the record of a moderation that is about to start."""
    return Moderation(state=ModerationStatus.MISSING, by="service", at=now, progress=ModerationProgress())


def list_moderators(
    account_name: str | None, connections: Mapping[str, ProviderConnection]
) -> list[ProviderConnection]:
    """Return the accounts that can judge: the chosen one, or all whose provider has a moderation API.

    A chosen account counts also where its provider is not known to have the API: a server that is compatible with
    OpenAI's API may have it.
    """
    if account_name is not None:
        named = connections.get(account_name)
        return [named] if named and named.provider.capabilities.may_have_moderation else []
    return [connection for connection in connections.values() if connection.provider.capabilities.moderation]


def build_unavailable_moderation(
    account_name: str | None, connections: Mapping[str, ProviderConnection], now: float
) -> Moderation:
    """Return the record of a run that no account can moderate."""
    reason = "no account of the accounts file has a moderation API"
    if account_name is not None and (named := connections.get(account_name)):
        reason = f"account {account_name} is at {named.account.provider}, which has no moderation API"
    return Moderation(state=ModerationStatus.MISSING, by="service", at=now, reason=reason, hint=NOT_MODERATED_HINT)


def build_finished_moderation(outcome: runner.ModerationResult, account: str, now: float) -> Moderation:
    """Return the record of chats without a flagged text. Pictures, which cannot be judged, hold the run."""
    if not outcome.images:
        return Moderation(state=ModerationStatus.PASSED, by=account, at=now, texts=outcome.texts)
    pictures = format_count(outcome.images, "picture")
    return Moderation(
        state=ModerationStatus.MISSING,
        by=account,
        at=now,
        texts=outcome.texts,
        reason=f"the texts passed, and {pictures} cannot be judged: the moderation API judges only texts",
        hint='Check the pictures yourself and record that with `orchestrator waive "REASON"`, or remove them from '
        "the chats.",
    )


def build_flagged_error(findings: Sequence[Finding]) -> DatasetError:
    """Return the error of chats with flagged texts."""
    texts = format_count(len(findings), "text")
    return DatasetError(
        f"the moderation flags {texts}",
        hint='Change or remove the flagged texts, or waive the moderation: `orchestrator waive "REASON"`.',
        findings=findings,
    )


def build_flagged_moderation(error: DatasetError, account: str, now: float) -> Moderation:
    """Return the record of chats with flagged texts; its reason names the first MAX_NAMED_TEXTS of them."""
    places = [
        f"{finding.file}:{finding.line} at {finding.path}" if finding.path else f"{finding.file}:{finding.line}"
        for finding in error.findings[:MAX_NAMED_TEXTS]
    ]
    reason = f"{error.message}: {format_list(places, total=len(error.findings), separator='; ')}"
    hint = f"`orchestrator check --report FILE` shows each of them. {error.hint}"
    return Moderation(state=ModerationStatus.MISSING, by=account, at=now, reason=reason, hint=hint)


def build_failed_moderation(
    record: Moderation, errors: Mapping[str, ProviderError], *, has_verdicts: bool, now: float, jitter: float
) -> Moderation:
    """Return the record after all accounts have failed, with the time of another attempt if an error was temporary.

    `errors` are by account. `has_verdicts` resets the back-off: an attempt that judged some texts made progress.
    """
    reason = "; ".join(f"account {name}: {error.kind}: {error.message}" for name, error in errors.items())
    temporary = [error for error in errors.values() if isinstance(error, TemporaryError)]
    hint = get_moderation_hint(temporary[0] if temporary else next(iter(errors.values())))
    progress = None
    if temporary:
        previous = record.progress or ModerationProgress()
        attempts = 0 if has_verdicts else previous.attempts
        retry_after = min(min(error.retry_after or 0.0 for error in temporary), MAX_RETRY_AFTER_SECONDS)
        delay = max(retry_after, backoff(attempts, jitter))
        progress = replace(previous, attempts=attempts + 1, retry_at=now + delay, finish_at=None)
    return replace(record, by=", ".join(errors), at=now, reason=reason, hint=hint, progress=progress)


async def load_cached_moderation(path: DatasetPaths, database: Database) -> runner.ModerationResult:
    """Return the result for the chats at `path` from the stored verdicts, without a request to a provider."""
    from orchestrator.dataset.moderation import runner

    return await runner.load_cached_result(path, VerdictCache(database))


class VerdictCache:
    """Reads and stores verdicts in the database, by a hash of the text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, keys: Sequence[str]) -> Mapping[str, ModerationVerdict]:
        async with self._database.read() as connection:
            return await moderations.get_verdicts(connection, keys)

    async def put(self, verdicts: Mapping[str, ModerationVerdict]) -> None:
        await self._database.write(lambda tx: moderations.save_verdicts(tx, verdicts))
