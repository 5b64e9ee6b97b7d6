"""The page of loss curves: the data of the chart, and a table with the last loss of each account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.jobs.loss import Loss
from orchestrator.status import RunOverview
from orchestrator.web.dashboard.page_query import PageQuery

MAX_CURVES: Final = 100  # on one chart; more can no longer be distinguished


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLoss:
    """The last point of an account's loss curve."""

    account: str
    step: int
    training: float | None
    validation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesPage:
    """View of the page. The script loads the points of the chart from `data_href`."""

    query: PageQuery
    run: str | None
    total: int
    data_href: str
    last_losses: tuple[LastLoss, ...]

    @property
    def is_truncated(self) -> bool:
        """Whether there may be more curves than the chart shows."""
        return len(self.last_losses) == MAX_CURVES


def build_curves_page(
    overview: RunOverview | None, curves: Mapping[str, Sequence[Loss]], query: PageQuery
) -> CurvesPage:
    """Build the page of the loss curves, given by account."""
    return CurvesPage(
        query=query,
        run=overview.run.name if overview else None,
        total=overview.total if overview else 0,
        data_href=query.with_changes(page=1).href_for("/curves.json"),
        last_losses=tuple(_build_last_loss(account, curve) for account, curve in curves.items()),
    )


def build_chart_data(curves: Mapping[str, Sequence[Loss]]) -> dict[str, Any]:
    """Return the chart data: the steps and both losses of each account, None where a loss is not reported."""
    return {
        "curves": [
            {
                "account": account,
                "steps": [loss.step for loss in curve],
                "training": [loss.training for loss in curve],
                "validation": [loss.validation for loss in curve],
            }
            for account, curve in curves.items()
        ]
    }


def _build_last_loss(account: str, curve: Sequence[Loss]) -> LastLoss:
    training = [loss.training for loss in curve if loss.training is not None]
    validation = [loss.validation for loss in curve if loss.validation is not None]
    return LastLoss(
        account=account,
        step=curve[-1].step,
        training=training[-1] if training else None,
        validation=validation[-1] if validation else None,
    )
