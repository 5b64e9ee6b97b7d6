"""Curves: the losses of a run's accounts, for one chart, and each account's last in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core.loss import Loss
from orchestrator.status import Glance
from orchestrator.web.query import Query

MOST: Final = 100  # curves on one chart: more are no longer told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """Where a curve has come to."""

    account: str
    step: int
    training: float | None
    validation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The page. `data` is where the chart gets its points."""

    query: Query
    run: str | None
    total: int
    data: str
    lasts: tuple[Last, ...]

    @property
    def cut(self) -> bool:
        """Whether there may be more curves than are shown."""
        return len(self.lasts) == MOST


def look(seen: Glance | None, curves: Mapping[str, Sequence[Loss]], query: Query) -> View:
    """The page of these curves."""
    return View(
        query=query,
        run=seen.run.name if seen else None,
        total=seen.total if seen else 0,
        data=query.but(page=1).at("/curves.json"),
        lasts=tuple(_last(account, curve) for account, curve in curves.items()),
    )


def points(curves: Mapping[str, Sequence[Loss]]) -> dict[str, Any]:
    """What the chart draws: for each account its steps and both losses, None where one is not said."""
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


def _last(account: str, curve: Sequence[Loss]) -> Last:
    training = [loss.training for loss in curve if loss.training is not None]
    validation = [loss.validation for loss in curve if loss.validation is not None]
    return Last(
        account=account,
        step=curve[-1].step,
        training=training[-1] if training else None,
        validation=validation[-1] if validation else None,
    )
