"""The vendor's SDK deploys, calls and removes on our fake of Azure, so that it is not judged by our reading alone."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from fake_azure_deployments import SUBSCRIPTION, create_azure
from fake_server import serve_on_free_port
from machine_speed import scale_seconds
from processes import clean_environ

from orchestrator.sandbox import SandboxSettings, create_app

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients"
NOWHERE = "http://127.0.0.1:9"
MODEL = "gpt-4.1-mini-2025-04-14.ft-0123456789abcdef"
NAME = "orch-0123456789abcdef-0"

pytestmark = pytest.mark.skipif(
    not (CLIENTS / ".installed").exists() and os.environ.get("CI") != "true",
    reason=f"{CLIENTS.name} is not installed; `make acceptance` does it",
)


async def test_sdk_deploys_calls_changes_and_removes(tmp_path: Path) -> None:
    app = create_azure(create_app(SandboxSettings()), time.time)  # noqa: TID251 - the wall clock of a real provider
    fake = app.state.deployments
    fake.is_trained = lambda account, model: model == MODEL
    fake.start_seconds = scale_seconds(3)  # the conflicting create is sent within it
    fake.answer_seconds = fake.removal_seconds = 0.3
    async with serve_on_free_port(app) as address:
        process = await asyncio.create_subprocess_exec(
            *map(str, (CLIENTS / "bin" / "python", ROOT / "tests" / "clients" / "drive_azure.py")),
            *(address, SUBSCRIPTION, MODEL),
            cwd=tmp_path,
            env=clean_environ() | {"HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), scale_seconds(240))
    assert process.returncode == 0, err.decode()[-3000:]
    assert json.loads(out) == {
        "state": "Succeeded",
        "sku": ["DeveloperTier", 50],
        "model": MODEL,
        "tags": {"team": "tone"},
        "listed": [NAME],
        "models": [
            ["sandbox-small", ["GlobalStandard", "DeveloperTier", "ProvisionedManaged"]],
            ["provisioned-only", ["ProvisionedManaged"]],
        ],
        "answer": f"I am {MODEL}.",
        "by_model_id": "DeploymentNotFound",
        "conflict": [409, "RequestConflict"],
        "quota": [400, "InsufficientQuota"],
        "unknown_model": [400, "DeploymentModelNotSupported"],
        "api_key": [401, "InvalidAuthenticationToken"],
        "changed": [NAME, "Standard", 3],  # a PUT under an existing name is an update
        "missing": [404, "ResourceNotFound"],
    }
    assert not [each for each in fake.of("acme").values() if fake.exists(each, time.time())]  # noqa: TID251
