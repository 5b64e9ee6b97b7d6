"""The vendor's own SDK completes its flow on our fake of DashScope, so that it is not judged by our reading alone."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fake_dashscope import MODELS, create_dashscope
from fake_server import serve_on_free_port
from machine_speed import scale_seconds
from processes import clean_environ

from orchestrator.sandbox import Fault

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
NOWHERE = "http://127.0.0.1:9"
CHAT = {"messages": [{"role": "user", "content": "Is it late?"}, {"role": "assistant", "content": "Yes."}]}

pytestmark = pytest.mark.skipif(
    not (CLIENTS / ".installed").exists() and os.environ.get("CI") != "true",
    reason=f"{CLIENTS.name} is not installed; `make acceptance` does it",
)


async def drive(address: str, folder: Path, script: str, *arguments: str) -> Any:
    """What the SDK prints, when its only way leads to the fake."""
    offline = {"HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    own = {"DASHSCOPE_API_KEY": "sandbox-acme", "DASHSCOPE_HTTP_BASE_URL": f"{address}/api/v1", "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *map(str, (CLIENTS / "bin" / "python", ROOT / "tests" / "clients" / script, *arguments)),
        cwd=folder,
        env=clean_environ() | own | offline,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), scale_seconds(240))
    assert process.returncode == 0, err.decode()[-3000:]
    return json.loads(out)


async def test_old_and_new_client_of_the_sdk_complete_their_flow(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(f"{json.dumps(CHAT)}\n" * 12)
    app, world = create_dashscope(time.time)  # noqa: TID251 - the wall clock of a real provider
    world.faults(Fault("page_size", size=5))
    async with serve_on_free_port(app) as address:
        seen = await drive(address, tmp_path, "drive_dashscope.py", "chats.jsonl")

    old = seen["old"]
    assert old["files"] == ["chats.jsonl"]
    assert (old["statuses"][0], old["statuses"][-1]) == ("PENDING", "SUCCEEDED")
    assert old["hyper_parameters"] == {"n_epochs": "2"}
    assert old["model"].startswith("qwen3-14b-")
    assert old["jobs"] == [old["job"]]
    assert old["missing"] == [400, "InvalidParameter"]
    assert old["late_cancel"] == [400, "UnsupportedOperation"]
    assert old["deleted"] == 200
    assert seen["new"] == {
        "size": (tmp_path / "chats.jsonl").stat().st_size,
        "workspace": "ws-1",
        "cancelled": "success",
        "status": "CANCELED",
        "tokens": 300,
        "first_page": True,
        "total": 2,
        "logs": True,
        "models": list(MODELS),
        "errors": [["NotFoundError", 400, "InvalidParameter"], ["BadRequestError", 400, "UnsupportedOperation"]],
        "deleted": "success",
    }
    assert world.counts["jobs.create", "200"] == 2


async def test_old_and_new_client_of_the_sdk_deploy_call_and_remove(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(f"{json.dumps(CHAT)}\n" * 12)
    app, _ = create_dashscope(time.time)  # noqa: TID251 - the wall clock of a real provider
    deployments = app.state.deployments
    deployments.start_seconds, deployments.removal_seconds = 1.0, 0.5
    async with serve_on_free_port(app) as address:
        seen = await drive(address, tmp_path, "drive_dashscope_deployments.py", "chats.jsonl")
    old, new = seen["old"], seen["new"]
    assert old.pop("statuses")[-1] == new.pop("statuses")[-1] == "RUNNING"
    assert old == {
        "name": "-old",
        "twice": [409, "Conflict"],
        "wrong": [400, "InvalidParameter"],
        "listed": [True],
        "answer": "H",
        "removed": "DELETING",
        "gone": "NotFound",
    }
    assert new == {
        "name": "-new",
        "model": True,
        "workspace": "ws-1",
        "capacity": [8, 4],
        "total": 1,
        "answer": "H",
        "errors": [[400, "InvalidParameter"], [404, "NotFound"]],
        "removed": "DELETING",
    }
    assert len(deployments.served) == 2
