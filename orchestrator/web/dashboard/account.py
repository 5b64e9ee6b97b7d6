"""Account: one account's page. What became of it, its ids, its settings, its price, and its whole history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.errors import Failure
from orchestrator.core.lifecycle import State
from orchestrator.core.verb import OF_ACCOUNTS, Verb, applies
from orchestrator.status import AccountView, Entry, RunJob, iso
from orchestrator.web.dashboard.row import Row
from orchestrator.web.wording import number, usd, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A hyperparameter: what was asked for, and what the provider says it used; None is not said."""

    name: str
    asked: str | None
    used: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A line of the history."""

    at: str
    what: str
    state: str | None
    cause: str
    message: str | None
    remote_job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The page. `ids` and `facts` are names and values; `undecided` is whether a remote job must be chosen."""

    name: str
    provider: str
    facts: tuple[tuple[str, str], ...]
    hold: Failure | None
    run: RunJob | None
    row: Row | None
    ids: tuple[tuple[str, str], ...]
    cost: tuple[tuple[str, str], ...]
    settings: tuple[Setting, ...]
    verbs: tuple[Verb, ...]
    undecided: bool
    history: tuple[Happening, ...]
    others: tuple[RunJob, ...]
    has_curve: bool


def look(account: AccountView, now: float, *, has_curve: bool) -> View:
    """The page of this account, about the newest of its jobs."""
    newest = account.jobs[0] if account.jobs else None
    return View(
        name=account.name,
        provider=account.provider,
        facts=tuple(_facts(account).items()),
        hold=account.hold if newest is None or newest.job.error != account.hold else None,
        run=newest,
        row=Row.of(newest.job, None, now) if newest else None,
        ids=tuple(_ids(newest).items()) if newest else (),
        cost=tuple(_cost(newest).items()) if newest else (),
        settings=_settings(newest) if newest else (),
        verbs=_verbs(newest) if newest and newest.current else (),
        undecided=newest is not None and newest.job.held and newest.job.state == State.SUBMITTING,
        history=tuple(_happening(entry) for entry in account.events),
        others=account.jobs[1:],
        has_curve=has_curve,
    )


def _facts(account: AccountView) -> dict[str, str]:
    facts = {
        "Provider": account.provider,
        "Organisation": account.organization,
        "Project": account.project,
        "Labels": ", ".join(account.labels),
        "Key": f"fingerprint {account.key_fingerprint}",
        "Verified": _at(account.verified_at) or "not yet",
        "Removed": _at(account.removed_at),
    }
    return {name: value for name, value in facts.items() if value}


def _ids(newest: RunJob) -> dict[str, str]:
    job = newest.job
    ids = {
        "Fine-tuned model": job.fine_tuned_model,
        "Remote job": job.remote_job_id,
        "Remote file": job.remote_file_id,
        "Job": job.job,
    }
    return {name: value for name, value in ids.items() if value}


def _cost(newest: RunJob) -> dict[str, str]:
    job = newest.job
    cost = {
        "Planned": "unknown" if job.estimated_usd is None else usd(job.estimated_usd),
        "Quoted by the provider": None if job.quoted_usd is None else usd(job.quoted_usd),
        "Trained tokens": None if job.trained_tokens is None else number(job.trained_tokens),
        "Submitted": _at(job.submitted_at),
        "Finished": _at(job.finished_at),
        "Retires": None if job.retires_on is None else f"{job.retires_on}, {_left(job.days_left)}",
        "Gone since": _at(job.gone_at),
    }
    return {name: value for name, value in cost.items() if value}


def _settings(newest: RunJob) -> tuple[Setting, ...]:
    asked: Mapping[str, Any] = {name: value for name, value in newest.spec.items() if value is not None}
    used = newest.job.hyperparameters
    return tuple(
        Setting(name=words(name), asked=_text(asked.get(name)), used=_text(used.get(name)))
        for name in dict.fromkeys([*asked, *used])
    )


def _verbs(newest: RunJob) -> tuple[Verb, ...]:
    job, kind = newest.job, newest.job.error.kind if newest.job.error else None
    by_operator = job.held and kind == "by_operator"
    fit = [verb for verb in OF_ACCOUNTS if applies(verb, job.state, held=job.held, kind=kind)]
    return tuple(verb for verb in fit if not (verb is Verb.HOLD and by_operator))


def _happening(entry: Entry) -> Happening:
    moved = entry.state_after if entry.state_after != entry.state_before else None
    return Happening(
        at=_at(entry.at) or "",
        what=entry.note,
        state=moved,
        cause=entry.cause,
        message=entry.message,
        remote_job_id=entry.remote_job_id,
    )


def _at(seconds: float | None) -> str | None:
    told = iso(seconds)
    return told.replace("T", " ").replace("+00:00", " UTC") if told else None


def _left(days: int | None) -> str:
    if days is None or days < 0:
        return "which has passed"
    return "today" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else str(value)
