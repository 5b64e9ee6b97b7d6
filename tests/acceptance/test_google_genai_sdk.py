"""Google's own SDK completes its flow on our fake of Vertex AI, so that it is not judged by our reading alone."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from fake_server import serve_on_free_port
from fake_vertex import create_vertex
from fake_world import FakeFile
from machine_speed import scale_seconds
from processes import clean_environ

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
NOWHERE = "http://127.0.0.1:9"
LINE = {"contents": [{"role": "user", "parts": [{"text": "Late?"}]}, {"role": "model", "parts": [{"text": "Yes."}]}]}

pytestmark = pytest.mark.skipif(
    not (CLIENTS / ".installed").exists() and os.environ.get("CI") != "true",
    reason=f"{CLIENTS.name} is not installed; `make acceptance` does it",
)


async def test_sdk_tunes_follows_lists_and_cancels(tmp_path: Path) -> None:
    app, world = create_vertex(time.time)  # noqa: TID251 - the wall clock of a real provider
    content = f"{json.dumps(LINE)}\n".encode() * 12
    world.account("acme").files["chats.jsonl"] = FakeFile("chats.jsonl", "chats.jsonl", 0.0, {}, content)
    async with serve_on_free_port(app) as address:
        process = await asyncio.create_subprocess_exec(
            str(CLIENTS / "bin" / "python"),
            str(ROOT / "tests" / "clients" / "drive_google_genai.py"),
            address,
            "gs://bucket-acme/chats.jsonl",
            cwd=tmp_path,
            env=clean_environ() | {"HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), scale_seconds(240))
    assert process.returncode == 0, err.decode()[-3000:]
    seen = json.loads(out)
    assert seen.pop("states")[-1] == "JOB_STATE_SUCCEEDED"
    place = "projects/1000406/locations/us-central1"
    assert seen == {
        "first_state": "JOB_STATE_PENDING",
        "labels": {"orchestrator": "0123456789abcdef-0"},
        "endpoint": f"{place}/endpoints/7000000000000000011",
        "model": f"{place}/models/7000000000000000010@1",
        "billable": 345,
        "truncated": 2,
        "epochs": 2,
        "cancelled": "JOB_STATE_CANCELLED",
        "listed": 2,
        "distinct": 2,
        "refused": [400, "INVALID_ARGUMENT"],
    }
    assert world.counts["jobs.create", "200"] == 2, "the SDK repeated a create"
