"""Performs operator actions for the API and the dashboard, if the selection and price are still those confirmed."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import status
from orchestrator.control.operator import ActionResult, ActionTarget, perform
from orchestrator.control.runs import NOTHING_SHOWN, RECONFIRM_HINT, Confirmation, ShownPrice
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.text import format_count
from orchestrator.web.auth.principal import Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError


class ActionExecutor:
    """Performs operator actions, or raises ProblemError (409) if an action is not possible or has changed."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend

    async def preview(
        self, action: OperatorAction, job_filter: JobFilter, *, run: str | None = None
    ) -> status.ActionPreview:
        """Return the accounts that match the filter and to which the action applies, with their price."""
        return await self._backend.call_with_database(
            status.preview_action, action, job_filter, self._backend.now(), run_name=run
        )

    async def apply_to_run(
        self,
        action: OperatorAction,
        principal: Principal,
        *,
        run: str | None = None,
        reason: str = "",
        confirmed: Confirmation = NOTHING_SHOWN,
    ) -> None:
        """Apply an action to the current run with this name or id, or to the only one.

        Rejected if it is no longer the run, or no longer the price, that was confirmed.
        """
        await self._perform(action, principal, ActionTarget(run=run, confirmed=confirmed), reason)

    async def apply_to_matching(
        self,
        action: OperatorAction,
        principal: Principal,
        job_filter: JobFilter,
        *,
        expect: int,
        run: str | None = None,
        reason: str = "",
        confirmed: Confirmation = NOTHING_SHOWN,
    ) -> Sequence[str]:
        """Apply an action to all accounts that match the filter and to which it applies; return those it changed."""
        preview = await self.preview(action, job_filter, run=run)
        if action is OperatorAction.RELEASE:  # it resumes jobs of all runs; `control` compares the price of a retry
            _require_price(confirmed, preview)
        return await self.apply_to_accounts(
            action, principal, preview.accounts, expect=expect, run=run, reason=reason, confirmed=confirmed
        )

    async def apply_to_accounts(
        self,
        action: OperatorAction,
        principal: Principal,
        names: Sequence[str],
        *,
        expect: int | None = None,
        run: str | None = None,
        reason: str = "",
        confirmed: Confirmation = NOTHING_SHOWN,
    ) -> Sequence[str]:
        """Apply an action to these accounts; return those it changed. Rejected if their number is not `expect`.

        `run` is the name or id of the current run that has the jobs; None: the only one.
        """
        names = tuple(dict.fromkeys(names))
        if expect is not None and expect != len(names):
            count = format_count(len(names), "account")
            raise ProblemError(409, f"The selection now matches {count}, expected {expect}.", RECONFIRM_HINT)
        if not names:
            return ()
        target = ActionTarget(accounts=names, run=run, confirmed=confirmed)
        return (await self._perform(action, principal, target, reason)).accounts

    async def adopt_remote_job(self, principal: Principal, job: str, remote_job: str) -> str:
        """Select the remote job for a job held as ambiguous; return the account."""
        target = ActionTarget(job=job, remote_job=remote_job)
        (account,) = (await self._perform(OperatorAction.ADOPT, principal, target)).accounts
        return account

    async def apply_to_models(
        self,
        action: OperatorAction,
        principal: Principal,
        names: Sequence[str],
        *,
        run: str | None = None,
        reason: str = "",
    ) -> Sequence[str]:
        """Accept the models of the named accounts, or revoke that; return the accounts whose model it changed."""
        target = ActionTarget(accounts=tuple(dict.fromkeys(names)), run=run)
        return (await self._perform(action, principal, target, reason)).accounts

    async def count_dead_deliveries(self, ids: Sequence[int] | None) -> int:
        """Return how many of these deliveries have failed; None counts all failed deliveries."""
        return await self._backend.call_with_database(status.count_failed_deliveries, ids)

    async def redeliver(
        self, principal: Principal, ids: Sequence[int] | None, *, expect: int | None
    ) -> Sequence[int]:
        """Retry these failed deliveries, or all (None); return their ids. Rejected if not `expect` many."""
        if expect is not None and expect != (failed := await self.count_dead_deliveries(ids)):
            count = format_count(failed, "delivery", "deliveries")
            raise ProblemError(409, f"The selection now matches {count}, expected {expect}.", RECONFIRM_HINT)
        target = ActionTarget(deliveries=None if ids is None else tuple(ids))
        return (await self._perform(OperatorAction.REDELIVER, principal, target)).deliveries

    async def _perform(
        self, action: OperatorAction, principal: Principal, target: ActionTarget, reason: str = ""
    ) -> ActionResult:
        try:
            return await self._backend.call_with_database(
                perform, action, target, actor=principal.actor, now=self._backend.now(), reason=reason
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error


def _require_price(confirmed: Confirmation, preview: status.ActionPreview) -> None:
    try:
        confirmed.require_price(ShownPrice(usd=preview.usd, unpriced=preview.unpriced))
    except ConfigError as error:
        raise ProblemError(409, error.message, error.hint) from error
