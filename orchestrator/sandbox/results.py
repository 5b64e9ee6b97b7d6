"""The result file of a finished job: the metrics of its steps as CSV. Made when asked for; in no list of files.

OpenAI's API sends the content of such a file as base64 of the CSV, and of other files as it is; so does this one.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from orchestrator.sandbox.call import ApiCall
from orchestrator.sandbox.progress import build_metrics, list_reported_steps
from orchestrator.sandbox.records import SandboxJob


def find_result_job(call: ApiCall, name: str) -> SandboxJob | None:
    """The caller's succeeded job whose result file has that id."""
    for job in call.state.jobs.of(call.account).values():
        if job.result_file == name:
            timeline = call.state.get_timelines(call.account)[job.id]
            return job if timeline.get_status(call.now) == "succeeded" else None
    return None


def result_to_json(job: SandboxJob) -> dict[str, Any]:
    """The file as the provider shows it."""
    return {
        "id": job.result_file,
        "object": "file",
        "bytes": len(encode_result(job)),
        "created_at": int(job.created_at),
        "filename": "step_metrics.csv",
        "purpose": "fine-tune-results",
        "status": "processed",
    }


def encode_result(job: SandboxJob) -> bytes:
    """Base64 of the CSV, which has one line for each reported step."""
    steps = list_reported_steps(job)
    rows: list[list[Any]] = [["step", *build_metrics(job, steps[0])]]
    rows += ([step, *build_metrics(job, step).values()] for step in steps)
    return b64encode("".join(",".join(map(str, row)) + "\n" for row in rows).encode())
