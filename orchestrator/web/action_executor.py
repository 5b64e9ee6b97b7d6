"""Performs operator actions for the API and the dashboard, if the selection and price are still those confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator import control, status
from orchestrator.control.jobs import adopt_remote_job
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.text import format_count
from orchestrator.web.auth.principal import Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

_RELOAD_HINT: Final = "Reload and confirm again."


class ActionExecutor:
    """Performs operator actions, or raises ProblemError (409) if an action is not possible."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend

    async def preview(self, action: OperatorAction, job_filter: JobFilter) -> status.ActionPreview:
        """Return the accounts that match the filter and to which the action applies, with their price."""
        return await self._backend.call_with_database(status.preview_action, action, job_filter, self._backend.now())

    async def apply_to_run(
        self, action: OperatorAction, principal: Principal, *, reason: str = "", expect_usd: float | None = None
    ) -> None:
        """Apply an action to the current run; rejected if its price is not `expect_usd`."""
        call, by, now = self._backend.call_with_database, principal.actor, self._backend.now()
        overview = await call(status.find_run_overview, now)
        planned = overview.run.planned_usd if overview else None
        if overview and expect_usd is not None and planned != expect_usd:
            price = "unknown" if planned is None else f"{planned} USD"
            raise ProblemError(409, f"The price changed: now {price}, expected {expect_usd} USD.", _RELOAD_HINT)
        try:
            match action:
                case OperatorAction.APPROVE:
                    await call(control.approve, by=by, now=now)
                case OperatorAction.WAIVE:
                    await call(control.waive_moderation, reason=reason, by=by, now=now)
                case _:
                    await call(control.start, by=by, now=now)
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error

    async def apply_to_matching(
        self, action: OperatorAction, principal: Principal, job_filter: JobFilter, *, expect: int, reason: str = ""
    ) -> Sequence[str]:
        """Apply an action to all accounts that match the filter and to which it applies."""
        names = (await self.preview(action, job_filter)).accounts
        return await self.apply_to_accounts(action, principal, names, expect=expect, reason=reason)

    async def apply_to_accounts(
        self,
        action: OperatorAction,
        principal: Principal,
        names: Sequence[str],
        *,
        expect: int | None = None,
        reason: str = "",
    ) -> Sequence[str]:
        """Apply an action to these accounts; return those it changed. Rejected if their number is not `expect`."""
        names = list(dict.fromkeys(names))
        if expect is not None and expect != len(names):
            raise ProblemError(
                409,
                f"The selection now matches {format_count(len(names), 'account')}, expected {expect}.",
                _RELOAD_HINT,
            )
        try:
            return await self._apply(action, principal.actor, names, reason) if names else []
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error

    async def adopt_remote_job(self, principal: Principal, job: str, remote_job: str) -> str:
        """Select the remote job for a job held as ambiguous; return the account."""
        try:
            adopted = await self._backend.call_with_database(
                adopt_remote_job, job, remote_job, by=principal.actor, now=self._backend.now()
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error
        return adopted.account

    async def count_dead_deliveries(self, numbers: Sequence[int] | None) -> int:
        """Return how many of these deliveries have failed; None counts all failed deliveries."""
        return await self._backend.call_with_database(status.count_failed_deliveries, numbers)

    async def redeliver(
        self, principal: Principal, numbers: Sequence[int] | None, *, expect: int | None
    ) -> list[int]:
        """Retry these failed deliveries, or all (None); return their ids. Rejected if not `expect` many."""
        if expect is not None and expect != (count := await self.count_dead_deliveries(numbers)):
            raise ProblemError(
                409,
                f"The selection now matches {format_count(count, 'delivery', 'deliveries')}, expected {expect}.",
                _RELOAD_HINT,
            )
        try:
            retried = await self._backend.call_with_database(
                control.redeliver, numbers, by=principal.actor, now=self._backend.now()
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error
        return [delivery.id for delivery in retried]

    async def _apply(self, action: OperatorAction, by: str, names: Sequence[str], reason: str) -> Sequence[str]:
        call, now = self._backend.call_with_database, self._backend.now()
        match action:
            case OperatorAction.HOLD:
                await call(control.hold_accounts, names, reason=reason or "held by the operator", by=by, now=now)
                return names
            case OperatorAction.RELEASE:
                await call(control.release_accounts, names, by=by, now=now)
                return names
            case _:
                ask = control.cancel if action is OperatorAction.CANCEL else control.retry
                return [job.account for job in await call(ask, names, by=by, now=now)]
