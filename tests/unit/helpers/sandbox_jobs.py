"""Builds jobs of a sandbox for tests."""

from __future__ import annotations

from typing import Any

from orchestrator.core.structs import replace
from orchestrator.sandbox.records import SandboxJob

PLAIN = SandboxJob(
    id="ftjob-1",
    account="acme",
    created_at=100.0,
    model="sandbox-small",
    training_file="file-1",
    validation_file=None,
    suffix="tone",
    seed=1,
    metadata=None,
    integrations=[],
    method="supervised",
    asked={"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"},
    resolved={"n_epochs": 4, "batch_size": 5, "learning_rate_multiplier": 1.8},
    method_options={},
    examples=20,
    tokens=1000,
    training_sha256="ab",
    token="abcd1234",
    result_file="file-2",
    validating_seconds=10.0,
    queue_seconds=5.0,
    training_seconds=100.0,
)


def job(**changes: Any) -> SandboxJob:
    """Build a job: created at 100 s, validated at 110 s, started at 115 s, ended at 215 s."""
    return replace(PLAIN, **changes)
