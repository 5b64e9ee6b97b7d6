"""Builders of core values for the tests in this folder. Each test overrides only the fields that matter to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.spec import TrainingSpec

NOW = 1_000_000.0
SPEC = TrainingSpec(base_model="gpt-4.1-mini-2025-04-14", n_epochs=3, seed=42, suffix="support")
DATASET = Dataset(training=DatasetPart(path=Path("a.jsonl"), sha256="a" * 64, bytes=1000, examples=12, tokens=500))
PERMANENT_HOLD = Hold("by_operator", "held for a test", "release it")


def a_job(state: JobState = JobState.PLANNED, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": JobId("0123456789abcdef"),
        "run_id": RunId("fedcba9876543210"),
        "account": "acme",
        "provider": ProviderName.OPENAI,
        "base_model": SPEC.base_model,
        "state": state,
        "created_at": NOW - 100,
        "state_since": NOW - 50,
    }
    return Job(**(values | changes))


def a_run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": RunId("fedcba9876543210"),
        "name": "support",
        "dataset_sha256": DATASET.sha256,
        "specs": {ProviderName.OPENAI: SPEC},
        "created_at": NOW - 100,
    }
    return Run(**(values | changes))


def an_account_state(name: str = "acme", **changes: Any) -> AccountState:
    values: dict[str, Any] = {
        "name": name,
        "provider": ProviderName.OPENAI,
        "definition": "d",
        "key_fingerprint": "12345678",
        "verified_at": NOW - 90,
    }
    return AccountState(**(values | changes))


def an_account(name: str = "acme", **changes: Any) -> Account:
    values: dict[str, Any] = {"name": name, "provider": ProviderName.OPENAI, "api_key": "env:KEY"}
    return Account(**(values | changes))


def a_remote_job(status: RemoteJobStatus, **changes: Any) -> RemoteJob:
    values: dict[str, Any] = {
        "id": "ftjob-1",
        "status": status,
        "raw_status": status.value,
        "training_file": "file-1",
        "base_model": SPEC.base_model,
        "request_id": "req-1",
    }
    return RemoteJob(**(values | changes))
