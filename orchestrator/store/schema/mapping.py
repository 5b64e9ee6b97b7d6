"""Rows to values of core and back. Column names are field names; only JSON columns need a hand."""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import asdict
from orchestrator.store.schema.tables import accounts, deployments, jobs, runs

JOB_FIELDS = Job.__struct_fields__
RUN_FIELDS = Run.__struct_fields__
ACCOUNT_STATE_FIELDS = AccountState.__struct_fields__
DEPLOYMENT_FIELDS = Deployment.__struct_fields__
INTERNED_FIELDS = ("base_model", "remote_status", "replica", "run_id")
"""What thousands of jobs say in the same words, kept once."""
JOB_COLUMNS = tuple(jobs.c[name] for name in JOB_FIELDS)
DEPLOYMENT_COLUMNS = tuple(deployments.c[name] for name in DEPLOYMENT_FIELDS)
RUN_COLUMNS = tuple(runs.c[name] for name in RUN_FIELDS)
ACCOUNT_STATE_COLUMNS = tuple(accounts.c[name] for name in ACCOUNT_STATE_FIELDS)


def job_from_row(row: Sequence[Any]) -> Job:
    """A job of the values of `JOB_COLUMNS`."""
    values = dict(zip(JOB_FIELDS, row, strict=True))
    values["provider"] = ProviderName(values["provider"])
    for name in INTERNED_FIELDS:
        if said := values[name]:
            values[name] = intern(said)
    values["state"] = JobState(values["state"])
    values["hold"] = Hold.from_dict(values["hold"])
    for name in ("failure", "warning"):
        values[name] = Failure(**values[name]) if values[name] else None
    return Job(**values)


def job_to_row(job: Job) -> dict[str, Any]:
    """The columns of a job."""
    values = {name: getattr(job, name) for name in JOB_FIELDS}
    values["hold"] = job.hold.as_dict() if job.hold else None
    values["failure"] = asdict(job.failure) if job.failure else None
    values["warning"] = asdict(job.warning) if job.warning else None
    values["hyperparameters"] = dict(job.hyperparameters)
    return values


def run_from_row(row: Sequence[Any]) -> Run:
    """A run of the values of `RUN_COLUMNS`."""
    values = dict(zip(RUN_FIELDS, row, strict=True))
    values["specs"] = {ProviderName(name): TrainingSpec.from_dict(spec) for name, spec in values["specs"].items()}
    values["hold"] = Hold.from_dict(values["hold"])
    values["pins"] = {ProviderName(name): chosen for name, chosen in (values["pins"] or {}).items()}
    if moderation := values["moderation"]:
        values["moderation"] = Moderation.from_dict(moderation)
    return Run(**values)


def run_to_row(run: Run) -> dict[str, Any]:
    """The columns of a run."""
    values = {name: getattr(run, name) for name in RUN_FIELDS}
    values["specs"] = {name.value: spec.as_dict() for name, spec in run.specs.items()}
    values["pins"] = {name.value: chosen and dict(chosen) for name, chosen in run.pins.items()}
    values["hold"] = run.hold.as_dict() if run.hold else None
    values["moderation"] = run.moderation.as_dict() if run.moderation else None
    return values


def account_state_from_row(row: Sequence[Any]) -> AccountState:
    """An account's standing of the values of `ACCOUNT_STATE_COLUMNS`."""
    values = dict(zip(ACCOUNT_STATE_FIELDS, row, strict=True))
    values["provider"] = ProviderName(values["provider"])
    values["hold"] = Hold.from_dict(values["hold"])
    values["labels"] = tuple(values["labels"])
    return AccountState(**values)


def account_state_to_row(account_state: AccountState) -> dict[str, Any]:
    """The columns of an account."""
    values = {name: getattr(account_state, name) for name in ACCOUNT_STATE_FIELDS}
    values["hold"] = account_state.hold.as_dict() if account_state.hold else None
    values["labels"] = list(account_state.labels)
    return values


def deployment_from_row(row: Sequence[Any]) -> Deployment:
    """Build a deployment from the values of `DEPLOYMENT_COLUMNS`."""
    values = dict(zip(DEPLOYMENT_FIELDS, row, strict=True))
    values["provider"] = ProviderName(values["provider"])
    values["spec"] = DeploymentSpec.from_dict(values["spec"])
    values["state"] = DeploymentState(values["state"])
    values["stop_reason"] = StopReason(values["stop_reason"]) if values["stop_reason"] else None
    values["hold"] = Hold.from_dict(values["hold"])
    values["failure"] = Failure(**values["failure"]) if values["failure"] else None
    return Deployment(**values)


def deployment_to_row(deployment: Deployment) -> dict[str, Any]:
    """Return the columns of a deployment."""
    values = {name: getattr(deployment, name) for name in DEPLOYMENT_FIELDS}
    values["spec"] = deployment.spec.as_dict()
    values["hold"] = deployment.hold.as_dict() if deployment.hold else None
    values["failure"] = asdict(deployment.failure) if deployment.failure else None
    return values
