"""A status document with as many jobs as a test needs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from orchestrator.core.errors import Failure
from orchestrator.status import JobView, StatusSnapshot

VALUES: dict[str, Any] = {
    **dict.fromkeys(field.name for field in fields(JobView)),
    "account": "a",
    "provider": "openai",
    "labels": (),
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
