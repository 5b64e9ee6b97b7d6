"""The page of one account: state, ids, hyperparameters, cost and history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from orchestrator.core.account import Account
from orchestrator.core.comparison.verdict import VERDICT_DESCRIPTIONS, ComparisonVerdict
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.errors import Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.checkpoint import BEST_CHECKPOINT, find_checkpoint
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import ACCOUNT_ACTIONS, OperatorAction, is_applicable
from orchestrator.core.plans.spending import FindPrice, calculate_trained_usd
from orchestrator.core.providers import ConsoleResource, find_console_url
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_days_left, format_number, format_time, format_timestamp, format_usd
from orchestrator.status import NOT_DEPLOYED, AccountView, DeploymentView, EventData, JobView, RunJob
from orchestrator.web.dashboard.comparisons.result_view import COMPARISON_PATH, VERDICT_TONES, VERDICT_WORDS
from orchestrator.web.dashboard.deployments.deployments_page import DeploymentTableRow
from orchestrator.web.dashboard.job_row import JobRow
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.template_filters import format_identifier


class HyperparameterRow(Struct, frozen=True, kw_only=True):
    """A hyperparameter as requested and as reported by the provider; None if it is not set or not reported."""

    name: str
    requested: str | None
    effective: str | None


class HistoryRow(Struct, frozen=True, kw_only=True):
    """An event of the account's history."""

    at: str
    note: str
    state: str | None
    cause: str
    message: str | None
    remote_job_id: str | None


class CheckpointRow(Struct, frozen=True, kw_only=True):
    """A model that the provider kept during the training."""

    number: int
    position: str  # epoch and step
    training_loss: str
    validation_loss: str
    model: str
    is_best: bool  # whether it has the lowest loss


class ResourceId(Struct, frozen=True, kw_only=True):
    """An id, and the page of its resource in the provider's console, if it has one."""

    label: str
    value: str
    console_url: str | None = None


class VerdictNote(Struct, frozen=True, kw_only=True):
    """What the latest comparison and the operators say about the model of the account."""

    word: str
    tone: str
    meaning: str
    reasons: tuple[str, ...]
    at: str
    accepted: str  # by whom and why, if an operator accepted the model
    href: str  # of the comparison; empty: the model was accepted without one


class AccountPage(Struct, frozen=True, kw_only=True):
    """View of the page. `facts` and `cost` are pairs of a label and a value."""

    name: str
    provider: str
    facts: tuple[tuple[str, str], ...]
    hold: Failure | None  # of the account, unless the job already shows the same one
    run: RunJob | None  # the newest job, or that of the selected run, with its run; None before the first
    row: JobRow | None
    ids: tuple[ResourceId, ...]
    cost: tuple[tuple[str, str], ...]
    hyperparameters: tuple[HyperparameterRow, ...]
    checkpoints: tuple[CheckpointRow, ...]
    actions: tuple[OperatorAction, ...]
    needs_remote_job: bool  # the job is held as ambiguous: an operator must select its remote job
    history: tuple[HistoryRow, ...]
    other_current_jobs: tuple[RunJob, ...]
    earlier_jobs: tuple[RunJob, ...]
    query: PageQuery  # selects the run in actions if there are several
    has_curve: bool
    deployments: tuple[DeploymentTableRow, ...]  # those that have not ended
    verdict: VerdictNote | None  # of the latest comparison on the model of the job
    can_deploy: bool  # whether the model of the job needs a deployment and has none


def select_run(account: AccountView, run: str) -> AccountView:
    """Return the account with its job in this run (name or id) first; without such a job it stays as it is."""
    jobs = sorted(account.jobs, key=lambda each: run in {each.run_name, each.run}, reverse=True)
    return replace(account, jobs=tuple(jobs))


def build_account_page(
    account: AccountView,
    now: float,
    *,
    has_curve: bool,
    find_price: FindPrice = lambda _provider, _model: None,
    listed: Account | None = None,
    run: str = "",
    deployments: Sequence[DeploymentView] = (),
) -> AccountPage:
    """Build the page of an account; it shows the first job in detail. `listed` is it in the accounts file.

    `run` is the run of the actions if there are several current runs.
    """
    newest = account.jobs[0] if account.jobs else None
    return AccountPage(
        name=account.name,
        provider=account.provider,
        facts=tuple(_facts(account).items()),
        hold=account.hold if newest is None or newest.job.error != account.hold else None,
        run=newest,
        row=JobRow.from_job(newest.job, None, now) if newest else None,
        ids=tuple(_list_ids(newest, listed)) if newest else (),
        cost=tuple(_cost(newest, find_price).items()) if newest else (),
        hyperparameters=_build_hyperparameters(newest) if newest else (),
        checkpoints=_build_checkpoints(newest) if newest else (),
        actions=_available_actions(newest, account.hold, removed=account.removed_at is not None)
        if newest and newest.current
        else (),
        needs_remote_job=newest is not None and newest.job.held and newest.job.state == JobState.SUBMITTING,
        history=tuple(_build_history_row(entry) for entry in account.events),
        other_current_jobs=tuple(each for each in account.jobs[1:] if each.current),
        earlier_jobs=tuple(each for each in account.jobs[1:] if not each.current),
        query=PageQuery(run=newest.run_name if newest and newest.current and run else ""),
        has_curve=has_curve,
        deployments=tuple(DeploymentTableRow.from_view(view, now) for view in deployments),
        verdict=_build_verdict(newest) if newest else None,
        can_deploy=newest is not None and newest.current and _lacks_deployment(newest.job),
    )


def _build_verdict(newest: RunJob) -> VerdictNote | None:
    comparison = newest.job.comparison
    if comparison is None:
        return None
    accepted = f"accepted by {comparison.accepted_by}: {comparison.accepted_reason}" if comparison.accepted_by else ""
    verdict, compared = comparison.verdict, comparison.comparison_id
    selected = urlencode({"run": newest.run, "id": compared, "q": newest.job.account}) if compared else ""
    return VerdictNote(
        word=VERDICT_WORDS[verdict] if verdict else "not compared",
        tone=VERDICT_TONES[verdict] if verdict else "off",
        meaning=VERDICT_DESCRIPTIONS[verdict][0] if verdict else "The model has not been compared.",
        reasons=comparison.reasons,
        at=format_time(comparison.at) if comparison.at is not None else "",
        accepted=accepted,
        href=f"{COMPARISON_PATH}?{selected}" if selected else "",
    )


def _lacks_deployment(job: JobView) -> bool:
    states = {NOT_DEPLOYED, *TERMINAL_DEPLOYMENT_STATES}
    return job.serving is not None and job.serving.state in states and job.gone_at is None


def _facts(account: AccountView) -> dict[str, str]:
    facts = {
        "Provider": account.provider,
        "Organisation": account.organization,
        "Project": account.project,
        "Labels": ", ".join(account.labels),
        "API key": f"fingerprint {account.key_fingerprint}",
        "Key verified": _format_time(account.verified_at) or "not yet",
        "Removed from the accounts file": _format_time(account.removed_at),
    }
    return {name: value for name, value in facts.items() if value}


def _list_ids(newest: RunJob, listed: Account | None) -> Iterator[ResourceId]:
    job = newest.job
    for label, value, resource in (
        ("Fine-tuned model", job.fine_tuned_model, ConsoleResource.MODEL),
        ("Remote job", job.remote_job_id, ConsoleResource.JOB),
        ("Remote file", job.remote_file_id, ConsoleResource.FILE),
    ):
        if value:
            yield ResourceId(label=label, value=value, console_url=find_console_url(listed, resource, value))
    if job.serving and job.serving.callable and job.serving.deployment:
        yield ResourceId(label="Call as", value=job.serving.model or "")
        if job.serving.base_url:
            yield ResourceId(label="Base URL", value=job.serving.base_url)
    yield ResourceId(label="Job", value=job.job)


def _cost(newest: RunJob, find_price: FindPrice) -> dict[str, str]:
    job = newest.job
    price = find_price(job.provider, job.base_model)
    trained_usd = calculate_trained_usd(job.trained_tokens, str(newest.spec.get("method", "")), price)
    cost = {
        "Estimated": "unknown" if job.estimated_usd is None else format_usd(job.estimated_usd),
        "Quoted by the provider": None if job.quoted_usd is None else format_usd(job.quoted_usd),
        "Trained tokens": None if job.trained_tokens is None else format_number(job.trained_tokens),
        "Trained, by the price file": None if job.trained_tokens is None else format_usd(trained_usd),
        "Billed": None if job.submitted_at is None else "not reported by the provider",
        "Submitted": _format_time(job.submitted_at),
        "Finished": _format_time(job.finished_at),
        "Model retires": None if job.retires_on is None else f"{job.retires_on}, {format_days_left(job.days_left)}",
        "Model missing since": _format_time(job.gone_at),
    }
    return {name: value for name, value in cost.items() if value}


def _build_hyperparameters(newest: RunJob) -> tuple[HyperparameterRow, ...]:
    requested: Mapping[str, Any] = {name: value for name, value in newest.spec.items() if value is not None}
    effective = newest.job.hyperparameters
    return tuple(
        HyperparameterRow(
            name=format_identifier(name),
            requested=_format_value(requested.get(name)),
            effective=_format_value(effective.get(name)),
        )
        for name in dict.fromkeys([*requested, *effective])
    )


def _build_checkpoints(newest: RunJob) -> tuple[CheckpointRow, ...]:
    best = find_checkpoint(newest.job.checkpoints, BEST_CHECKPOINT)
    return tuple(
        CheckpointRow(
            number=each.number,
            position=f"step {each.step}" if each.epoch is None else f"epoch {each.epoch}, step {each.step}",
            training_loss=_format_loss(each.training_loss),
            validation_loss=_format_loss(each.validation_loss),
            model=each.model,
            is_best=each is best,
        )
        for each in newest.job.checkpoints
    )


def _format_loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}"


def _available_actions(
    newest: RunJob, account_hold: Failure | None, *, removed: bool = False
) -> tuple[OperatorAction, ...]:
    """Return the actions for the newest job. An ended job is not held, but its account may be."""
    job = newest.job
    hold = (job.error if job.held else None) or account_hold
    kind = hold.kind if hold else None
    held_by_operator = kind == HoldKind.BY_OPERATOR
    applicable = [
        each
        for each in ACCOUNT_ACTIONS
        if is_applicable(each, job.state, held=hold is not None, error_kind=kind, removed=removed)
    ]
    actions = [each for each in applicable if not (each is OperatorAction.HOLD and held_by_operator)]
    return (*actions, *_list_acceptance_actions(newest))


def _list_acceptance_actions(newest: RunJob) -> tuple[OperatorAction, ...]:
    """Return what an operator can do about the verdict on the newest model. A gate of another run does not matter."""
    comparison = newest.job.comparison
    if not newest.current or not newest.job.fine_tuned_model:
        return ()
    if comparison is not None and comparison.accepted_by is not None:
        return (OperatorAction.REVOKE_ACCEPTANCE,)
    is_alike = comparison is not None and comparison.verdict is ComparisonVerdict.ALIKE
    needs_it = newest.job.gated or comparison is not None
    return (OperatorAction.ACCEPT,) if needs_it and not is_alike else ()


def _build_history_row(entry: EventData) -> HistoryRow:
    new_state = entry.state_after if entry.state_after != entry.state_before else None
    return HistoryRow(
        at=_format_time(entry.at) or "",
        note=entry.note,
        state=new_state,
        cause=entry.cause,
        message=entry.message,
        remote_job_id=entry.remote_job_id,
    )


def _format_time(seconds: float | None) -> str | None:
    return None if seconds is None else format_timestamp(seconds)


def _format_value(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else str(value)
