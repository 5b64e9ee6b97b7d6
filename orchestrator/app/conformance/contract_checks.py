"""Runs the checks of the minimal contract in their order, and ends what they started."""

from __future__ import annotations

from orchestrator.app.conformance import file_checks, job_checks
from orchestrator.app.conformance.job_creation import CREATE_JOB, check_job_creation
from orchestrator.app.conformance.report import ConformanceReport, ContractResult
from orchestrator.app.conformance.trial import Trial
from orchestrator.core.errors import AuthenticationFailed, OrchestratorError, ProviderError, WrongOrganization
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.remote import RemoteModel
from orchestrator.planning.base_models import find_base_model

KEY, BASE_MODEL = "key", "base model"
MAX_MODELS_NAMED = 5


async def check_contract(trial: Trial, *, train: bool) -> ConformanceReport:
    """Run all checks. With `train` the job is not cancelled, but followed to its end."""
    try:
        if await _check_key(trial):
            has_model = await _check_base_model(trial)
            await file_checks.check_upload(trial)
            await file_checks.check_file_list(trial)
            await file_checks.check_file_status(trial)
            await _check_job(trial, has_model=has_model, train=train)
            if trial.has_ended or trial.remote_job is None:
                await file_checks.check_file_deletion(trial)
    finally:
        await _clean_up(trial)
    return ConformanceReport(
        account=trial.account.name,
        provider=trial.account.provider,
        base_url=trial.account.base_url or PROVIDERS[trial.account.provider].default_base_url or "",
        base_model=trial.spec.base_model,
        checks=tuple(trial.checks),
        recovery=trial.recovery,
        found_by=trial.found_by,
        account_options=trial.account_options,
        leftovers=tuple(trial.leftovers),
    )


async def _check_key(trial: Trial) -> bool:
    """Verify the key. Returns False if the server refuses it, so that nothing else can be checked."""
    try:
        identity = await trial.provider.verify()
        identity.check(trial.account)
    except (AuthenticationFailed, WrongOrganization) as error:
        trial.add(KEY, ContractResult.MISSING, error.message, error.hint)
        return False
    except ProviderError as error:
        trial.add(KEY, ContractResult.MISSING, error.message, "Answer GET /models with {data: [{id}]}.")
    else:
        trial.add(KEY, ContractResult.WORKS, "accepted")
    return True


async def _check_base_model(trial: Trial) -> bool:
    """Look the base model up. Returns False if the server certainly does not have it."""
    model = trial.spec.base_model
    try:
        answer = await find_base_model(trial.provider, model)
    except (ProviderError, TimeoutError) as error:
        trial.add(BASE_MODEL, ContractResult.LIMITED, f"cannot be looked up: {error}")
        return True
    if isinstance(answer, RemoteModel):
        trial.add(BASE_MODEL, ContractResult.WORKS, model)
    elif answer:
        names = ", ".join(list(answer)[:MAX_MODELS_NAMED])
        message = f"the server has no model {model}; it has {names}{' and others' if answer[5:] else ''}"
        trial.add(BASE_MODEL, ContractResult.MISSING, message, "Correct base_model, or use --base-model.")
        return False
    else:
        trial.add(BASE_MODEL, ContractResult.LIMITED, f"the server does not show whether it has {model}")
    return True


async def _check_job(trial: Trial, *, has_model: bool, train: bool) -> None:
    await job_checks.check_job_list(trial)
    if trial.remote_file is None or not has_model:
        missing = "base model" if trial.remote_file else "file"
        trial.add(CREATE_JOB, ContractResult.SKIPPED, f"there is no {missing} to train on")
        return
    await check_job_creation(trial)
    if trial.remote_job is None:
        return
    await job_checks.check_recovery(trial)
    await job_checks.check_list_pages(trial)
    await job_checks.check_job_retrieval(trial)
    await job_checks.check_events(trial)
    await job_checks.check_unknown_job(trial)
    await (job_checks.check_training(trial) if train else job_checks.check_cancel(trial))
    job_checks.check_status_words(trial)


async def _clean_up(trial: Trial) -> None:
    """End what is left: the job first, because it may use the file."""
    if trial.remote_job is not None and not trial.has_ended:
        try:
            trial.record_job(await trial.provider.cancel_job(trial.remote_job.id))
        except OrchestratorError as error:
            trial.leftovers.append(f"job {trial.remote_job.id}: its cancellation is not confirmed: {error.message}")
        else:
            if not trial.has_ended:
                trial.leftovers.append(
                    f"job {trial.remote_job.id}: its cancellation is not confirmed: {trial.remote_job.raw_status}"
                )
    if trial.remote_file is not None and not any(trial.remote_file.id in left for left in trial.leftovers):
        try:
            await trial.provider.delete_file(trial.remote_file.id)
        except OrchestratorError as error:
            trial.leftovers.append(f"file {trial.remote_file.id}: it could not be deleted: {error.message}")
