"""Plans, requests and stops deployments for the API and the dashboard, at the price that was confirmed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, TypeVar

from orchestrator import control
from orchestrator.control import DeploymentPlan, DeploymentSelection, DeploymentTarget
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.errors import ConfigError
from orchestrator.core.text import format_count, format_usd
from orchestrator.web.auth.principal import Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

T = TypeVar("T")
HALF_CENT: Final = 0.005
_RELOAD_HINT: Final = "Reload and confirm again."
_EMPTY_HINT: Final = "Name them, or send `all` to select every one."


class DeploymentExecutor:
    """Performs the actions on deployments, or raises ProblemError (409) if one is not possible or has changed."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend

    async def plan(self, selection: DeploymentSelection) -> DeploymentPlan:
        """Return what would be deployed, with its price. Asks the providers for the prices; stores nothing."""
        return await self._call(
            control.plan_deployments,
            selection,
            get_tables=self._backend.get_deployment_tables,
            find_price=self._backend.find_deployment_price,
        )

    async def deploy(
        self, principal: Principal, selection: DeploymentSelection, *, expect_usd: float
    ) -> Sequence[Deployment]:
        """Request the deployments of the selected models. Rejected if their price is no longer `expect_usd`."""
        plan = await self.plan(selection)
        if abs(plan.total_usd - expect_usd) >= HALF_CENT:
            price = f"now {format_usd(plan.total_usd)}, expected {format_usd(expect_usd)}"
            raise ProblemError(409, f"The price changed: {price}.", _RELOAD_HINT)
        return await self._call(control.deploy, plan, by=principal.actor, now=self._backend.now())

    async def undeploy(
        self, principal: Principal, target: DeploymentTarget, *, expect: int | None = None
    ) -> Sequence[Deployment]:
        """Request that deployments are stopped. Rejected if the number of selected ones is not `expect`."""
        await self._check_count(target, expect)
        return await self._call(control.undeploy, target, by=principal.actor, now=self._backend.now())

    async def approve(
        self,
        principal: Principal,
        target: DeploymentTarget,
        *,
        expect: int | None = None,
        shown_reasons: Collection[str] | None = None,
    ) -> Sequence[Deployment]:
        """Approve the held prices of deployments.

        Rejected if the number of selected ones is not `expect`, or one is held for another reason than those shown.
        """
        await self._check_count(target, expect)
        return await self._call(
            control.approve_deployments,
            target,
            by=principal.actor,
            now=self._backend.now(),
            shown_reasons=shown_reasons,
        )

    async def preview(self, target: DeploymentTarget) -> Sequence[Deployment]:
        """Return the selected deployments that have not ended."""
        return await self._call(control.list_open_deployments, target)

    async def _check_count(self, target: DeploymentTarget, expect: int | None) -> None:
        if expect is None or expect == (found := len(await self.preview(target))):
            return
        count = format_count(found, "deployment")
        raise ProblemError(409, f"The selection now matches {count}, expected {expect}.", _RELOAD_HINT)

    async def _call(self, function: Callable[..., Awaitable[T]], /, *arguments: Any, **options: Any) -> T:
        try:
            return await self._backend.call_with_database(function, *arguments, **options)
        except ConfigError as error:
            detail = "; ".join([error.message, *error.problems])
            raise ProblemError(409, detail, error.hint) from error


def require_selection(names: Collection[str] | None, *, everything: bool, what: str) -> Collection[str] | None:
    """Return the names, or None for all. Raises ProblemError (422) if nothing is selected, or both."""
    if everything == bool(names):
        problem = f"Both {what} and `all` are set." if everything else f"No {what} are selected."
        raise ProblemError(422, problem, _EMPTY_HINT)
    return None if everything else names
