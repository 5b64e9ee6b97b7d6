"""Plans, requests and stops comparisons for the API and the dashboard, at a price that was confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.control.comparisons import PlannedComparison, start_comparison, stop_comparison
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.core.structs import replace
from orchestrator.core.text import format_usd
from orchestrator.web.auth.principal import Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

HALF_CENT: Final = 0.005


class ComparisonExecutor:
    """Performs the actions on comparisons, or raises ProblemError (409) if one is not possible."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend

    async def plan(self, run: str | None, options: Mapping[str, Any]) -> PlannedComparison:
        """Return what would be asked, with its highest possible price. Stores nothing, asks no model."""
        plan_comparison = self._backend.plan_comparison
        if plan_comparison is None:
            raise ProblemError(409, "This process compares no models.", "Request the comparison from `serve`.")
        try:
            return await plan_comparison(run, options)
        except (ConfigError, DatasetError) as error:
            raise ProblemError(409, error.message, error.hint) from error

    async def request(
        self,
        principal: Principal,
        run: str | None,
        options: Mapping[str, Any],
        *,
        expect_usd: float | None = None,
        accepts_any_price: bool = False,
        expects_unknown_price: bool = False,
    ) -> PlannedComparison:
        """Request a comparison. The service asks the models within seconds.

        The price is confirmed by `max_usd` among the options, by `expect_usd`, by `accepts_any_price`, or by
        `expects_unknown_price` as long as it is unknown.
        """
        planned = await self.plan(run, options)
        if expects_unknown_price and planned.usd is not None:
            raise _price_changed_error(planned, None)
        _check_price(planned, expect_usd, accepts_any_price=accepts_any_price or expects_unknown_price)
        try:
            comparison = await self._backend.call_with_database(
                start_comparison, planned, by=principal.actor, now=self._backend.now()
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error
        return replace(planned, comparison=comparison)

    async def stop(self, principal: Principal, comparison_id: str) -> Comparison:
        """Stop a comparison. Rejected if there is none with this id, or it has ended."""
        try:
            return await self._backend.call_with_database(
                stop_comparison, comparison_id, by=principal.actor, now=self._backend.now()
            )
        except ConfigError as error:
            raise ProblemError(409, error.message, error.hint) from error


def _check_price(planned: PlannedComparison, expect_usd: float | None, *, accepts_any_price: bool) -> None:
    if expect_usd is not None:
        if planned.usd is None or abs(planned.usd - expect_usd) >= HALF_CENT:
            raise _price_changed_error(planned, expect_usd)
    elif planned.comparison.settings.max_usd is None and not accepts_any_price:
        raise ProblemError(
            409,
            f"The price of the comparison ({_format_price(planned)}) is not confirmed.",
            "Send `max_usd`, a limit that is never exceeded, or `accept_any_price`.",
        )


def _price_changed_error(planned: PlannedComparison, expect_usd: float | None) -> ProblemError:
    changed = f"The price changed: now {_format_price(planned)}, expected {format_usd(expect_usd)}."
    return ProblemError(409, changed, "Plan the comparison again and confirm its price.")


def _format_price(planned: PlannedComparison) -> str:
    return "unknown" if planned.usd is None else f"at most {format_usd(planned.usd)}"
