"""Deploys, calls and removes a model with DashScope's SDK, by its old and its new client; prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_dashscope_deployments.py TRAINING_FILE`. The SDK
reads its key and address from the environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import dashscope
from dashscope.v2.errors import APIStatusError

ADDRESS = os.environ["DASHSCOPE_HTTP_BASE_URL"]
HELLO = [{"role": "user", "content": "Hi"}]


def train() -> str:
    """Train a model and return its name."""
    uploaded = dashscope.Files.upload(file_path=sys.argv[1], description="tone")
    file_id = uploaded.output["uploaded_files"][0]["file_id"]
    job = dashscope.FineTunes.call(model="qwen3-14b", training_file_ids=file_id, mode="efficient_sft")
    done = job
    while done.output.status not in {"SUCCEEDED", "FAILED"}:
        time.sleep(0.05)
        done = dashscope.FineTunes.get(job.output.job_id)
    return str(done.output.finetuned_output)


def wait_for(read_status: Callable[[], str], end: str) -> list[str]:
    """Poll until the status, or what replaces it, is the expected one; return the different ones."""
    seen: list[str] = []
    while not seen or seen[-1] != end:
        status = read_status()
        seen += [] if seen[-1:] == [status] else [status]
        time.sleep(0.02)
    return seen


def drive_old_client(model: str) -> dict[str, Any]:
    """Deploy per token, call by the native API, and remove with the functions of the 1.x SDK."""
    made = dashscope.Deployments.call(model=model, capacity=1, suffix="old", plan="lora")
    name = made.output.deployed_model
    twice = dashscope.Deployments.call(model=model, capacity=1, suffix="old", plan="lora")
    wrong = dashscope.Deployments.call(model=model, capacity=1, suffix="muchtoolong", plan="lora")
    statuses = wait_for(lambda: str(dashscope.Deployments.get(name).output.status), "RUNNING")
    listed = dashscope.Deployments.list(page_no=1, page_size=10)
    answer = dashscope.Generation.call(model=name, messages=HELLO, result_format="message", max_tokens=1)
    removed = dashscope.Deployments.delete(name)
    gone = wait_for(lambda: str(dashscope.Deployments.get(name).code), "NotFound")
    return {
        "name": name.removeprefix(model),
        "statuses": statuses,
        "twice": [twice.status_code, twice.code],
        "wrong": [wrong.status_code, wrong.code],
        "listed": [each.deployed_model == name for each in listed.output.deployments],
        "answer": answer.output.choices[0].message.content,
        "removed": removed.output.status,
        "gone": gone[-1],
    }


def drive_new_client(model: str) -> dict[str, Any]:
    """Deploy by the hour, scale, call by OpenAI's API, and remove with the client of the 2.x SDK."""
    client = dashscope.Client(base_url=ADDRESS, workspace="ws-1", max_retries=0)
    made = client.deployments.create(
        model=model, capacity=4, suffix="new", plan="mu", deploy_spec="MU1", billing_method="POST_PAY"
    )
    name = made.deployed_model
    statuses = wait_for(lambda: str(client.deployments.get(name).status), "RUNNING")
    scaled = client.deployments.scale(name, capacity=8)
    listed = client.deployments.list(page_no=1, page_size=10)
    openai = dashscope.Client(
        base_url=ADDRESS.replace("/api/v1", "/compatible-mode/v1"), protocol="openai", max_retries=0
    )
    answer = openai.chat.completions.create(model=name, messages=HELLO, max_tokens=1)
    errors = []
    calls: list[Callable[[], Any]] = [
        lambda: client.deployments.create(model=model, capacity=3, suffix="odd", plan="mu"),
        lambda: client.deployments.get("no-such-model"),
    ]
    for call in calls:
        try:
            call()
        except APIStatusError as error:
            errors.append([error.status_code, error.code])
    return {
        "name": name.removeprefix(model),
        "model": made.model == model,
        "workspace": made.workspace_id,
        "statuses": statuses,
        "capacity": [scaled.capacity, scaled.base_capacity],
        "total": listed.total_count,
        "answer": answer.choices[0].message.content,
        "errors": errors,
        "removed": client.deployments.delete(name).status,
    }


MODEL = train()
json.dump({"old": drive_old_client(MODEL), "new": drive_new_client(MODEL)}, sys.stdout)
