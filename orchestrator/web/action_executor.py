"""Asking: the actions of API and dashboard, with the check that what was confirmed is what is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator import control, status
from orchestrator.control.jobs import adopt_remote_job
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.web.auth.principal import Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

_RELOAD_HINT: Final = "Look again, then confirm what there is now."


class ActionExecutor:
    """Does what a principal asks, or raises `ProblemError`."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend

    async def preview(self, action: OperatorAction, job_filter: JobFilter) -> status.ActionPreview:
        """The accounts that the selection means and the verb would change: what a confirmation counts."""
        return await self._backend.call_with_database(status.preview_action, action, job_filter, self._backend.now())

    async def apply_to_run(
        self, action: OperatorAction, principal: Principal, *, reason: str = "", expect_usd: float | None = None
    ) -> None:
        """Ask something of the current run."""
        call, by, now = self._backend.call_with_database, principal.actor, self._backend.now()
        glance = await call(status.find_run_overview, now)
        planned = glance.run.planned_usd if glance else None
        if glance and expect_usd is not None and planned != expect_usd:
            price = "unknown" if planned is None else f"{planned} USD"
            raise ProblemError(409, f"the price is {price} by now, not {expect_usd} USD", _RELOAD_HINT)
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
        """Ask something of all accounts that the selection means and the verb would change."""
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
        """Ask something of these accounts. Returns those of which it was asked."""
        names = list(dict.fromkeys(names))
        if expect is not None and expect != len(names):
            raise ProblemError(
                409, f"these are {len(names)} accounts by now, not {expect}", "Look again before you confirm."
            )
        try:
            return await self._apply(action, principal.actor, names, reason) if names else []
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error

    async def adopt_remote_job(self, principal: Principal, job: str, remote_job: str) -> str:
        """Take a remote job for a job's, where the program must not choose. Returns the account."""
        try:
            taken = await self._backend.call_with_database(
                adopt_remote_job, job, remote_job, by=principal.actor, now=self._backend.now()
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error
        return taken.account

    async def count_dead_deliveries(self, numbers: Sequence[int] | None) -> int:
        """How many of these deliveries were given up, or of all: what a confirmation counts."""
        return await self._backend.call_with_database(status.count_failed_deliveries, numbers)

    async def redeliver(
        self, principal: Principal, numbers: Sequence[int] | None, *, expect: int | None
    ) -> list[int]:
        """Begin again with these deliveries that were given up, or with all. Returns those begun."""
        if expect is not None and expect != (count := await self.count_dead_deliveries(numbers)):
            raise ProblemError(409, f"{count} of them were given up by now, not {expect}", _RELOAD_HINT)
        try:
            begun = await self._backend.call_with_database(
                control.redeliver, numbers, by=principal.actor, now=self._backend.now()
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error
        return [delivery.id for delivery in begun]

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
