"""Drives the fake of DashScope with the vendor's SDK, by its old and its new client, and prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_dashscope.py TRAINING_FILE`. The SDK reads its key
and address from the environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import dashscope
from dashscope.v2.errors import BadRequestError, NotFoundError

MODEL = "qwen3-14b"
CHATS = sys.argv[1]
ENDS = {"SUCCEEDED", "FAILED", "CANCELED"}


def drive_old_client() -> dict[str, Any]:
    """Upload, list, create, follow, cancel and delete with the functions of the 1.x SDK."""
    uploaded = dashscope.Files.upload(file_path=CHATS, description="tone")
    file_id = uploaded.output["uploaded_files"][0]["file_id"]
    listed = dashscope.Files.list(page=1, page_size=10)
    job = dashscope.FineTunes.call(
        model=MODEL, training_file_ids=file_id, mode="efficient_sft", hyper_parameters={"n_epochs": 2}
    )
    seen = [job.output.status]
    while seen[-1] not in ENDS:
        time.sleep(0.05)
        done = dashscope.FineTunes.get(job.output.job_id)
        seen.append(done.output.status)
    page = dashscope.FineTunes.list(page_no=1, page_size=10)
    missing = dashscope.Files.get("no-such-file")
    late = dashscope.FineTunes.cancel(job.output.job_id)
    return {
        "files": [file["name"] for file in listed.output["files"]],
        "statuses": seen,
        "hyper_parameters": done.output.hyper_parameters,
        "model": done.output.finetuned_output,
        "jobs": [each.job_id for each in page.output.jobs],
        "job": job.output.job_id,
        "missing": [missing.status_code, missing.code],
        "late_cancel": [late.status_code, late.code],
        "deleted": dashscope.Files.delete(file_id).status_code,
    }


def drive_new_client() -> dict[str, Any]:
    """Do the same with the client of the 2.x SDK, in a workspace, and cancel the job."""
    client = dashscope.Client(base_url=os.environ["DASHSCOPE_HTTP_BASE_URL"], workspace="ws-1", max_retries=0)
    file = client.files.upload(file_path=CHATS)
    size = client.files.get(file.file_id).size
    job = client.fine_tunes.create(
        model=MODEL,
        training_file_ids=file.file_id,
        mode="sft",
        hyper_parameters={"n_epochs": 2},
        finetuned_model="own",
    )
    cancelled = client.fine_tunes.cancel(job.job_id)
    ended = client.fine_tunes.get(job.job_id)
    page = client.fine_tunes.list(page_no=1, page_size=1)
    errors = []
    calls: list[Callable[[], Any]] = [
        lambda: client.files.get("no-such-file"),
        lambda: client.fine_tunes.cancel(job.job_id),
    ]
    for call in calls:
        try:
            call()
        except (NotFoundError, BadRequestError) as error:
            errors.append([type(error).__name__, error.status_code, error.code])
    return {
        "size": size,
        "workspace": job.workspace_id,
        "cancelled": cancelled.status,
        "status": ended.status,
        "tokens": ended.usage.total_tokens,
        "first_page": [each.job_id for each in page.jobs] == [job.job_id],
        "total": page.total_count,
        "logs": bool(client.fine_tunes.logs(job.job_id).content),
        "models": [model.model for model in client.models.list().models],
        "errors": errors,
        "deleted": client.fine_tunes.delete(job.job_id).status,
    }


json.dump({"old": drive_old_client(), "new": drive_new_client()}, sys.stdout)
