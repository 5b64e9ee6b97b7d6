"""Retirement: how long a model that is made today could be called, and what that means for a plan."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.job import Job
from orchestrator.core.remote import RemoteModel

WARN_DAYS: Final = 180
HOLD_DAYS: Final = 30
ANNOUNCED_DAYS: Final = (WARN_DAYS, HOLD_DAYS, 7)
GONE: Final = -1  # beyond every number of days

Told = Iterable[tuple[ProviderName, RemoteModel]]


def days_left(last: date, now: float) -> int:
    """Whole days until the last one; negative when it has passed."""
    return (last - datetime.fromtimestamp(now, UTC).date()).days


def threshold(job: Job, now: float) -> int | None:
    """The last of the days at which a finished model is announced that has come; None when none has."""
    if job.gone_at is not None:
        return GONE
    left = days_left(job.retires_on, now) if job.retires_on else None
    return min((days for days in ANNOUNCED_DAYS if left is not None and left < days), default=None)


def warnings(models: Told, now: float) -> list[str]:
    """A line for each base model whose fine-tuned models would not live long."""
    return [
        f"{name} {model.id}, and every model tuned on it, is shut down {_when(model, days)}"
        for name, model, days in _ending(models, now)
        if days < WARN_DAYS
    ]


def retirement_hold(models: Told, now: float) -> Hold | None:
    """Why the run is set aside: a model of it would be gone within a month."""
    short = [
        f"{name} {model.id} {_when(model, days)}" for name, model, days in _ending(models, now) if days < HOLD_DAYS
    ]
    if not short:
        return None
    return Hold(
        HoldKind.RETIRES_SOON,
        f"fewer than {HOLD_DAYS} days are left: {'; '.join(short)}",
        "Choose a base model that stays, or another provider; or `orchestrator approve` the run all the same.",
    )


def untunable_holds(models: Told) -> dict[ProviderName, Hold]:
    """Why a provider's jobs are set aside: its base model cannot be trained."""
    return {
        name: Hold(
            HoldKind.NOT_TUNABLE,
            f"{name} says that {model.id} cannot be fine-tuned",
            f"Choose another `base_model` in [run.{name}].",
        )
        for name, model in _untunable(models)
    }


def _untunable(models: Told) -> list[tuple[ProviderName, RemoteModel]]:
    return [(name, model) for name, model in models if model.tunable is False]


def _ending(models: Told, now: float) -> list[tuple[ProviderName, RemoteModel, int]]:
    return [(name, model, days_left(model.shutdown, now)) for name, model in models if model.shutdown]


def _when(model: RemoteModel, days: int) -> str:
    if days < 0:
        return f"since {model.shutdown}"
    return f"on {model.shutdown}, in {days} day{'' if days == 1 else 's'}"
