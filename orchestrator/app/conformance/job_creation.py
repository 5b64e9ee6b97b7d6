"""Creates the one job of a conformance test, and finds the account options with which a server accepts it."""

# A server that refuses the job may accept it with other options of the account: without "auto", with a shorter
# suffix, with the older field for hyperparameters. A refusal has created nothing, so the request is repeated with
# one set of options after the other, those with the fewest changes first. It ends with the first answer that is no
# certain refusal: then a job may exist, and a second request could create a second one.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

from orchestrator.app.conformance.report import ContractResult
from orchestrator.app.conformance.trial import Trial
from orchestrator.core.account import Account, HyperparameterFormat
from orchestrator.core.errors import (
    FileNotReady,
    OrchestratorError,
    ProviderError,
    RemoteNotFound,
    RequestRejected,
    UnknownOutcome,
)
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.remote import RemoteJob
from orchestrator.core.structs import replace
from orchestrator.providers.base import Provider

CREATE_JOB: Final = "create job"
CREATE_FIX: Final = "Answer POST /fine_tuning/jobs with the job: id, status, model and training_file."
SHORT_SUFFIX_LENGTH: Final = 18  # the shortest suffix that has room for a tag


async def check_job_creation(trial: Trial) -> None:
    """Create the job; if the server refuses it, find the options with which it is accepted."""
    try:
        trial.record_job(await _create_job(trial, trial.provider))
    except UnknownOutcome as error:
        await _report_unknown_outcome(trial, error)
    except RemoteNotFound as error:
        trial.add(CREATE_JOB, ContractResult.MISSING, error.message, CREATE_FIX)
    except RequestRejected as error:
        await _try_other_options(trial, error)
    except ProviderError as error:
        trial.add(CREATE_JOB, ContractResult.MISSING, error.message, error.hint)
    else:
        trial.add(CREATE_JOB, ContractResult.WORKS, "accepted as the account is configured")


async def _create_job(trial: Trial, provider: Provider) -> RemoteJob:
    """Create the job. A server that refuses it because its file is not ready is asked again, as the service does."""
    refusals: list[FileNotReady] = []
    created: list[RemoteJob] = []

    async def is_created() -> bool:
        try:
            created.append(await provider.create_job(trial.build_order(), trial.start_deadline()))
        except FileNotReady as error:
            refusals.append(error)
        return bool(created)

    if not await trial.wait_for(is_created):
        raise refusals[-1]
    return created[0]


async def _report_unknown_outcome(trial: Trial, error: UnknownOutcome) -> None:
    """Report an answer that cannot be used, and find the job that it may have created, so that it is cancelled."""
    trial.add(CREATE_JOB, ContractResult.MISSING, error.message, CREATE_FIX)
    try:
        jobs = await trial.provider.find_jobs(trial.build_order())
    except OrchestratorError:
        jobs = []
    if jobs:
        trial.record_job(jobs[0])
    else:
        trial.leftovers.append(f"perhaps a job on file {trial.build_order().training_file}: its create had no answer")


async def _try_other_options(trial: Trial, refusal: RequestRejected) -> None:
    for options in _list_options(trial.account):
        try:
            job = await _create_job(trial, trial.connect(replace(trial.account, **options)))
        except UnknownOutcome as error:
            await _report_unknown_outcome(trial, error)
            return
        except RequestRejected:
            continue
        except ProviderError as error:
            trial.add(CREATE_JOB, ContractResult.MISSING, error.message, error.hint)
            return
        trial.use_options(options)
        trial.record_job(job)
        message = f"refused as the account is configured: {refusal.message}"
        trial.add(CREATE_JOB, ContractResult.MISSING, message, f"Add to the account: {format_options(options)}.")
        return
    fix = "No other option of the account helps either: the message shows what the server requires."
    trial.add(CREATE_JOB, ContractResult.MISSING, refusal.message, fix)


def format_options(options: Mapping[str, Any]) -> str:
    """Format options of an account as lines of the accounts file."""
    return ", ".join(f"{name} = {_format_value(value)}" for name, value in options.items())


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _list_options(account: Account) -> Iterator[dict[str, Any]]:
    """Yield the other values of the options that describe a server, sets with fewer changes first."""
    if "suffix_length" not in PROVIDERS[account.provider].account_options:
        return
    alternatives: dict[str, list[Any]] = {
        "suffix_length": [SHORT_SUFFIX_LENGTH, 0] if account.suffix_length != 0 else [SHORT_SUFFIX_LENGTH],
        "send_auto": [False] if account.send_auto else [],
        "hyperparameter_format": [
            other for other in HyperparameterFormat if other is not account.hyperparameter_format
        ],
    }
    unchanged = object()
    choices = product(*([unchanged, *values] for values in alternatives.values()))
    sets = [
        {name: value for name, value in zip(alternatives, choice, strict=True) if value is not unchanged}
        for choice in choices
    ]
    yield from sorted(filter(None, sets), key=len)
