"""A status document with as many jobs as a test needs."""

from __future__ import annotations

from typing import Any

from orchestrator.core.errors import Failure
from orchestrator.core.structs import fields, replace
from orchestrator.status import DeploymentView, JobView, StatusSnapshot

VALUES: dict[str, Any] = {
    **dict.fromkeys(field.name for field in fields(JobView)),
    "account": "a",
    "provider": "openai",
    "labels": (),
    "checkpoints": (),
    "state": "succeeded",
    "held": False,
    "state_since": 0.0,
    "fine_tuned_model": "ft:m",
    "latest_event": "remote_succeeded",
}
JOB = JobView(**VALUES)


def status(accounts: int) -> StatusSnapshot:
    failed = replace(JOB, account="the-longest-name", state="failed", error=Failure("bad", "It broke.", "Fix it."))
    jobs = (failed, *(replace(JOB, account=f"a{number}") for number in range(accounts - 1)))
    return StatusSnapshot(run=None, jobs=jobs, counts={"failed": 1, "succeeded": accounts - 1})


def a_deployment_view(**changes: Any) -> DeploymentView:
    """A deployment that waits for its approval."""
    values: dict[str, Any] = {
        **dict.fromkeys(field.name for field in fields(DeploymentView)),
        "id": "00112233445566aa",
        "account": "acme",
        "provider": "fireworks",
        "labels": (),
        "run": "support-tone",
        "job": "0123456789abcdef",
        "model": "accounts/acme/models/support-tone",
        "kind": "hour",
        "options": {},
        "state": "wanted",
        "held": False,
        "so_far_usd": 0.0,
        "keep_hours": 4.0,
        "created_at": 0.0,
        "state_since": 0.0,
        "attempts": 0,
        "is_account_removed": False,
    }
    return DeploymentView(**(values | changes))
