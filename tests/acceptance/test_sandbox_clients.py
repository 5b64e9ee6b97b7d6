"""Clients that nobody here wrote drive the sandbox: upload, create at once, follow, checkpoints, chat, stream.

They live in environments of their own, which `make acceptance` installs. Where that was not possible the tests are
skipped; in CI they are not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine_speed import scale_seconds
from processes import SandboxProcess, clean_environ

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "clients"
PYTHON = ROOT / ".venv-clients"
NODE = ROOT / ".node-clients"
NOWHERE = "http://127.0.0.1:9"
MODEL = "sandbox-small"


def installed(folder: Path) -> pytest.MarkDecorator:
    missing = not (folder / ".installed").exists() and os.environ.get("CI") != "true"
    return pytest.mark.skipif(missing, reason=f"{folder.name} is not installed; `make acceptance` does it")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox that processes a file for 0.3 seconds, so that a job is created before that has ended."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("sandbox"), seconds=3)
    yield sandbox
    sandbox.stop()


def drive(sandbox: SandboxProcess, account: str, folder: Path, *command: str | Path) -> Any:
    """What the client prints, when its only way leads to the sandbox."""
    rows = (
        {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(12)
    )
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environ = {"OPENAI_API_KEY": f"sandbox-{account}", "OPENAI_BASE_URL": sandbox.url, "MPLCONFIGDIR": str(folder)}
    offline = {"HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    ended = subprocess.run(
        [*command, "chats.jsonl"],
        cwd=folder,
        env=clean_environ() | environ | offline,
        capture_output=True,
        text=True,
        check=False,
        timeout=scale_seconds(240),
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    outcomes = sandbox.count_requests(account)
    assert {outcome for counts in outcomes.values() for outcome in counts} == {"200"}
    return json.loads(ended.stdout)


def assert_followed_and_streamed(told: Any, account: str) -> None:
    assert told["statuses"][0] == "validating_files"
    assert told["statuses"][-1] == "succeeded"
    assert told["model"].startswith(f"ft:{MODEL}:{account}::")
    assert told["checkpoints"][0] == told["model"]
    assert [name.partition(":ckpt-step-")[0] for name in told["checkpoints"]] == [told["model"]] * 3
    assert told["results"].startswith("step,train_loss")
    assert told["whole"] == told["streamed"] == told["gathered"] != ""
    assert told["response"] == told["streamed_response"] == told["final_response"] == told["whole"]
    assert told["pieces"] > 5
    assert told["usage"]["total_tokens"] > 0


@installed(PYTHON)
def test_openai_python(slow: SandboxProcess, tmp_path: Path) -> None:
    told = drive(slow, "python", tmp_path, PYTHON / "bin" / "python", SCRIPTS / "drive_openai.py")
    assert_followed_and_streamed(told, "python")
    assert told["pet"]["age"] == 0
    assert {"content.delta", "content.done"} <= set(told["events"])


@installed(NODE)
def test_openai_node(slow: SandboxProcess, tmp_path: Path) -> None:
    shutil.copy(SCRIPTS / "drive_openai.mjs", tmp_path)  # an import is looked for beside the importing file
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    told = drive(slow, "node", tmp_path, "node", "drive_openai.mjs")
    assert_followed_and_streamed(told, "node")


@installed(PYTHON)
def test_llmcomp(slow: SandboxProcess, tmp_path: Path) -> None:
    told = drive(slow, "llmcomp", tmp_path, PYTHON / "bin" / "python", SCRIPTS / "drive_llmcomp.py")
    job = told["job"]
    assert job["status"] == "succeeded"
    assert job["model"].startswith(f"ft:{MODEL}:llmcomp:tone:")
    assert job["model-1"].startswith(f"{job['model']}:ckpt-step-")
    assert job["model"] in told["models"]
    assert told["text"]
    assert len(told["probabilities"]) == 20
    assert 0.99 < sum(told["probabilities"].values()) <= 1
    assert sum(told["samples"].values()) == 1
    assert len(told["samples"]) > 1
