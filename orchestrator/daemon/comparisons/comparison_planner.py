"""Plans a comparison: which models of a run are asked, at which address and price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from uuid import uuid4

from orchestrator.control.comparisons import LeftOutModel
from orchestrator.control.deployment_plan import DeploymentPlan
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.comparison.probe import Probe, hash_probe_set
from orchestrator.core.comparison.request_plan import (
    ROUNDS,
    ComparedModel,
    InferencePrice,
    RequestLimits,
    RequestPlan,
    build_request_plan,
    calculate_max_output_tokens,
)
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.providers import PROVIDERS, find_call_url
from orchestrator.core.structs import replace

FindPrice = Callable[[ProviderName, str], InferencePrice | None]
"""Returns the price of calling a fine-tune of a base model; None if it is unknown."""


def plan_comparison(
    run: Run,
    jobs: Sequence[Job],
    probes: Sequence[Probe],
    settings: ComparisonSettings,
    *,
    accounts: Mapping[str, Account],
    deployments: Mapping[str, Deployment],
    find_price: FindPrice,
    now: float,
    cause: str,
    deploying: Sequence[ModelToAsk] = (),
) -> Comparison:
    """Plan the comparison of the run's models. `deployments` are those that answer calls, by job.

    `deploying` are models whose deployment is waited for.

    Raises ConfigError if fewer than two models can be asked.
    """
    ready = list_callable_models(jobs, accounts=accounts, deployments=deployments, find_price=find_price)
    models = sorted([*ready, *deploying], key=lambda model: model.account)
    if len(models) < 2:
        raise ConfigError(
            f"run {run.name} has {len(models)} models that can be called, and a comparison needs two",
            hint="Wait until the jobs have succeeded. At a provider that needs a deployment, deploy the models first "
            "with `orchestrator deploy`, or let the comparison do it with --deploy.",
        )
    if all(PROVIDERS[accounts[model.account].provider].scores_references for model in models):
        models = [replace(model, scores_references=True) for model in models]
    return Comparison(
        id=uuid4().hex[:16],
        run_id=run.id,
        state=ComparisonState.ASKING,
        created_at=now,
        created_by=cause,
        settings=settings,
        models=(*models, *_list_base_models(models, accounts)),
        probe_set=hash_probe_set(probes),
        probe_ids=tuple(probe.probe_id for probe in probes),
        max_output_tokens=settings.max_output_tokens or calculate_max_output_tokens(probes),
        spent_usd=0.0 if all(model.price for model in models) else None,
    )


def list_callable_models(
    jobs: Sequence[Job],
    *,
    accounts: Mapping[str, Account],
    deployments: Mapping[str, Deployment],
    find_price: FindPrice,
) -> list[ModelToAsk]:
    """List the fine-tuned models of these jobs that answer calls, by account name."""
    return [
        model
        for job in sorted(jobs, key=lambda job: job.account)
        if (model := _build_model(job, accounts.get(job.account), deployments.get(job.id), find_price)) is not None
    ]


def list_undeployed_jobs(
    jobs: Sequence[Job], ready: Sequence[ModelToAsk], accounts: Mapping[str, Account]
) -> list[Job]:
    """Return the jobs whose model exists and answers no calls, because it needs a deployment."""
    names = {model.account for model in ready}
    return [
        job
        for job in jobs
        if job.account not in names
        and job.account in accounts
        and job.state is JobState.SUCCEEDED
        and job.fine_tuned_model is not None
        and not job.gone_at
        and not DEPLOYMENT_OFFERS[job.provider].ready_by_itself
    ]


def list_deploying_models(plan: DeploymentPlan, find_price: FindPrice) -> list[ModelToAsk]:
    """Return the models that are callable when their deployment is ready: a planned one, or one of an operator."""
    models = []
    for line in plan.lines:
        existing = line.existing
        is_other = existing is not None and existing.state not in TERMINAL_DEPLOYMENT_STATES
        is_stopping = existing is not None and (existing.stop_reason or existing.comparison_id) is not None
        if line.obstacle and (not is_other or is_stopping):
            continue
        job = line.job
        models.append(
            ModelToAsk(
                name=job.account,
                account=job.account,
                group=_format_group(job),
                model=line.model,
                fine_tuned_model=job.fine_tuned_model,
                base_url="",
                job_id=job.id,
                price=find_price(job.provider, job.base_model),
                deployment_id=line.id,
                starts_deployment=not line.obstacle,
                hosting_usd=0.0 if line.obstacle else line.usd,
            )
        )
    return models


def _format_group(job: Job) -> str:
    return f"{job.provider.value} {job.base_model}"


def find_left_out(
    jobs: Sequence[Job],
    compared: Sequence[ModelToAsk],
    accounts: Mapping[str, Account],
    holds: Mapping[str, Hold] = MappingProxyType({}),
) -> tuple[LeftOutModel, ...]:
    """Return the models of these jobs that are not compared, with the reason, by account name.

    `holds` are those of the accounts for which nothing is sent.
    """
    names = {model.account for model in compared}
    left = sorted((job for job in jobs if job.account not in names), key=lambda job: job.account)
    return tuple(LeftOutModel(account=job.account, reason=_explain(job, accounts, holds)) for job in left)


def _explain(job: Job, accounts: Mapping[str, Account], holds: Mapping[str, Hold]) -> str:
    if hold := holds.get(job.account):
        return f"the account is on hold: {hold.reason}"
    if job.account not in accounts:
        return "the account is not in the accounts file"
    if job.state is not JobState.SUCCEEDED or job.fine_tuned_model is None:
        return f"it has no model: its job is {job.state}"
    if job.gone_at:
        return "the provider no longer has its model"
    return "its model must be deployed before it can be called"


def _build_model(
    job: Job, account: Account | None, deployment: Deployment | None, find_price: FindPrice
) -> ModelToAsk | None:
    if account is None or job.state is not JobState.SUCCEEDED or job.fine_tuned_model is None or job.gone_at:
        return None
    price = find_price(job.provider, job.base_model)
    if deployment is not None and deployment.model_string and deployment.base_url:
        base_url, model = deployment.base_url, deployment.model_string
    elif job.servable and (url := find_call_url(account)):
        base_url, model = url, job.fine_tuned_model
    else:
        return None
    return ModelToAsk(
        name=job.account,
        account=job.account,
        group=_format_group(job),
        model=model,
        base_url=base_url,
        job_id=job.id,
        fine_tuned_model=job.fine_tuned_model,
        price=price,
    )


def _list_base_models(models: Sequence[ModelToAsk], accounts: Mapping[str, Account]) -> list[ModelToAsk]:
    """Return the untuned base model of each group whose provider serves it without a deployment."""
    bases: dict[str, ModelToAsk] = {}
    for model in models:
        account = accounts[model.account]
        if not PROVIDERS[account.provider].serves_base_models or model.group in bases:
            continue
        base_model = model.group.removeprefix(f"{account.provider.value} ")
        if base_model.startswith("ft:"):
            continue  # trained further: the model before is no base model, and may be another organisation's
        bases[model.group] = ModelToAsk(
            name=f"base {model.group}",
            account=model.account,
            group=model.group,
            model=base_model,
            base_url=model.base_url,
            is_base=True,
            price=model.price,
        )
    return list(bases.values())


def build_plan(comparison: Comparison, probes: list[Probe]) -> RequestPlan:
    """Build the plan of the requests of a comparison."""
    models = [
        ComparedModel(
            name=model.name,
            price=model.price,
            rounds=1 if model.is_base else ROUNDS,
            hosting_usd=model.hosting_usd,
            scores_references=model.scores_references,
        )
        for model in comparison.models
    ]
    return build_request_plan(
        models,
        probes,
        limits=RequestLimits(max_usd=comparison.settings.max_usd),
        seed=comparison.settings.seed,
        max_output_tokens=comparison.max_output_tokens,
    )
