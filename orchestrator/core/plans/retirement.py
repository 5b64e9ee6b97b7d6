"""Retirement of base models: warnings and holds for models that end soon, and notices about fine-tuned models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job
from orchestrator.core.remote import RemoteModel
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count

WARN_DAYS: Final = 180
HOLD_DAYS: Final = 30
NOTICE_DAYS: Final = (WARN_DAYS, HOLD_DAYS, 7)  # a notification is sent when fewer days are left
MODEL_GONE_DAYS: Final = -1  # the notice that the model no longer exists; later than any number of days

BaseModels = Iterable[tuple[ProviderName, RemoteModel]]


class Retirement(Struct, frozen=True, kw_only=True):
    """The published end of a base model. The dates have the same meaning as in RemoteModel."""

    as_of: date  # when the source stated it
    source: str
    new_customers_end: date | None = None
    training_ends: date | None = None
    tentative: bool = False
    inference_ends: date | None = None  # RemoteModel.shutdown


def merge_retirements(
    models: BaseModels, base_models: Mapping[ProviderName, str], published: Mapping[ProviderName, Retirement]
) -> list[tuple[ProviderName, RemoteModel]]:
    """Add published retirements to what the providers' APIs report. If both have a date, the API's is used."""
    answers = dict(models)
    for name in published:
        answers.setdefault(name, RemoteModel(id=base_models[name]))
    return [
        (name, _merge_retirement(answers[name], published[name]) if name in published else answers[name])
        for name in base_models
        if name in answers
    ]


def _merge_retirement(model: RemoteModel, known: Retirement) -> RemoteModel:
    return replace(
        model,
        shutdown=model.shutdown or known.inference_ends,
        training_ends=model.training_ends or known.training_ends,
        tentative=model.training_ends is None and known.tentative,
        new_customers_end=known.new_customers_end,
    )


def days_left(last: date, now: float) -> int:
    """Return the days from `now` (epoch seconds) to the date; negative if it has passed."""
    return (last - datetime.fromtimestamp(now, UTC).date()).days


def find_due_notice_days(job: Job, now: float) -> int | None:
    """Return which of NOTICE_DAYS applies to a finished job's model now; None if the model has more time left."""
    if job.gone_at is not None:
        return MODEL_GONE_DAYS
    left = days_left(job.retires_on, now) if job.retires_on else None
    return min((days for days in NOTICE_DAYS if left is not None and left < days), default=None)


def list_retirement_warnings(models: BaseModels, now: float) -> list[str]:
    """Format a warning for each base model whose training, or whose fine-tuned models, will end soon."""
    models = list(models)
    ending = [
        f"the shutdown date of {name} {model.id}, and of every model tuned on it, is {_format_shutdown(model, days)}"
        for name, model, days in _list_shutdowns(models, now)
        if days < WARN_DAYS
    ]
    return ending + [line for name, model in models for line in _list_training_warnings(name, model, now)]


def _list_training_warnings(name: ProviderName, model: RemoteModel, now: float) -> Iterator[str]:
    if model.new_customers_end and days_left(model.new_customers_end, now) <= 0:
        yield f"{name} {model.id} can be trained only by customers who fine-tuned before {model.new_customers_end}"
    if model.training_ends is None or (days := days_left(model.training_ends, now)) >= WARN_DAYS:
        return
    earliest = " at the earliest" if model.tentative else ""
    if days > 0:
        yield (
            f"{name} {model.id} accepts no new jobs from {model.training_ends}{earliest}, "
            f"in {format_count(days, 'day')}"
        )
    elif not _has_training_ended(model, now):
        yield f"{name} {model.id} may no longer accept new jobs: its training ends on {model.training_ends}{earliest}"


def find_retirement_hold(models: BaseModels, now: float) -> Hold | None:
    """Return the hold of a run with a base model that is shut down in fewer than HOLD_DAYS days; None without one."""
    short = [
        f"{name} {model.id}, {_format_shutdown(model, days)}"
        for name, model, days in _list_shutdowns(models, now)
        if days < HOLD_DAYS
    ]
    if not short:
        return None
    return Hold(
        HoldKind.RETIRES_SOON,
        f"fewer than {HOLD_DAYS} days are left until the shutdown date of the base model: {'; '.join(short)}",
        "Choose a base model with more time left, or another provider; or `orchestrator approve` the run anyway.",
    )


def list_untunable_holds(models: BaseModels, now: float) -> dict[ProviderName, Hold]:
    """Return the holds of the providers whose base model cannot be trained, or no longer."""
    holds = {}
    for name, model in models:
        if model.tunable is False:
            reason = f"{name} reports that {model.id} cannot be fine-tuned"
            holds[name] = Hold(HoldKind.NOT_TUNABLE, reason, f"Choose another `base_model` in [run.{name}].")
        elif _has_training_ended(model, now):
            reason = f"{name} accepts no new jobs on {model.id} since {model.training_ends}"
            holds[name] = Hold(
                HoldKind.NOT_TUNABLE,
                reason,
                f"Choose another `base_model` in [run.{name}], or another provider. If the date is wrong, correct it "
                "in your copy of the list of retirements, ORCHESTRATOR_RETIREMENTS_FILE.",
            )
    return holds


def list_unknown_model_holds(unknown: Mapping[ProviderName, tuple[str, Sequence[str]]]) -> dict[ProviderName, Hold]:
    """Return the holds of providers that do not list the base model. `unknown` has its name and the listed ones."""
    return {
        name: Hold(
            HoldKind.MODEL_UNKNOWN,
            f"{name} does not know the base model {base_model}{_suggest_model(base_model, listed)}",
            f"Correct `base_model` in [run.{name}]. Nothing is sent until then.",
        )
        for name, (base_model, listed) in unknown.items()
    }


SAME_MODEL_NOTE: Final = "A retry asks for the same base model again."
"""It is stored at the end of failures' hints, where `find_retry_hold` recognises it: it cannot change."""


def format_same_model_hint(provider: ProviderName, reason: str) -> str:
    """Format the hint of a job that was rejected because the provider does not have its base model."""
    return f"{reason}. Correct `base_model` in [run.{provider}]: that makes a new run. {SAME_MODEL_NOTE}"


def find_retry_hold(failure: Failure | None) -> Hold | None:
    """Return the hold of a job whose retry would be rejected for its base model again; None for any other failure.

    The next plan checks with the provider and lifts the hold if the base model is available by then.
    """
    if failure is None or not failure.hint.endswith(SAME_MODEL_NOTE):
        return None
    return Hold(
        HoldKind.MODEL_UNKNOWN,
        failure.hint.removesuffix(SAME_MODEL_NOTE).strip(),
        "If the account has the base model now, start `orchestrator run` or send the service a SIGHUP: it checks "
        "with the provider again. Nothing is sent until then.",
    )


def _suggest_model(base_model: str, listed: Sequence[str]) -> str:
    by_lower = {name.lower(): name for name in listed}
    close = get_close_matches(base_model.lower(), by_lower, n=1)
    return f'; did you mean "{by_lower[close[0]]}"?' if close else f" ({len(listed)} others are listed)"


def _has_training_ended(model: RemoteModel, now: float) -> bool:
    """Return whether training has certainly ended. A report of the provider's API takes precedence over a date."""
    ended = model.training_ends is not None and days_left(model.training_ends, now) <= 0
    return ended and not model.tentative and model.tunable is None


def _list_shutdowns(models: BaseModels, now: float) -> list[tuple[ProviderName, RemoteModel, int]]:
    return [(name, model, days_left(model.shutdown, now)) for name, model in models if model.shutdown]


def _format_shutdown(model: RemoteModel, days: int) -> str:
    if days < 0:
        return f"{model.shutdown} ({format_count(-days, 'day')} ago)"
    return f"{model.shutdown} (in {format_count(days, 'day')})"
